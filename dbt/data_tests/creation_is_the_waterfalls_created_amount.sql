-- Protects weekly_pipeline_creation: told twice, the same events must give the same money.
with created as (

    select level, level_id, week_start_date, sum(created_amount) as amount
    from {{ ref('weekly_pipeline_creation') }}
    group by level, level_id, week_start_date

),

waterfall as (

    select level, level_id, week_start_date, sum(created_amount) as amount
    from {{ ref('weekly_pipeline_waterfall') }}
    group by level, level_id, week_start_date

)

select *
from created as c
full outer join waterfall as w on c.level = w.level and c.level_id = w.level_id and c.week_start_date = w.week_start_date
where coalesce(c.amount, 0) <> coalesce(w.amount, 0)
