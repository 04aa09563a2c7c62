-- Protects weekly_pipeline_waterfall: money that appears or vanishes between two weeks was never told as a movement.
select *
from (
    select
        *,
        lag(ending_amount, 1, 0) over (partition by level, level_id, target_fiscal_quarter order by week_start_date) as ended_before,
        lag(week_start_date) over (partition by level, level_id, target_fiscal_quarter order by week_start_date) as week_before
    from {{ ref('weekly_pipeline_waterfall') }}
) as weeks
where starting_amount <> ended_before
    or (ended_before <> 0 and {{ days_between('week_before', 'week_start_date') }} <> 7)
