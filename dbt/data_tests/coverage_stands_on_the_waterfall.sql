-- Protects weekly_pipeline_coverage: a week's open pipeline is the waterfall's end, none of it lost for want of a quota.
select
    coalesce(c.level, w.level) as level,
    coalesce(c.level_id, w.level_id) as level_id,
    coalesce(c.week_start_date, w.week_start_date) as week_start_date,
    coalesce(c.target_fiscal_quarter, w.target_fiscal_quarter) as target_fiscal_quarter,
    c.open_amount,
    w.ending_amount
from {{ ref('weekly_pipeline_coverage') }} as c
full outer join {{ ref('weekly_pipeline_waterfall') }} as w
    on c.level = w.level and c.level_id = w.level_id and c.week_start_date = w.week_start_date
    and c.target_fiscal_quarter = w.target_fiscal_quarter
where coalesce(c.open_amount, 0) <> coalesce(w.ending_amount, 0)
    or c.open_deal_count < 0
    or (c.open_deal_count = 0 and c.open_amount <> 0)
