-- One row per level, fiscal quarter and lock that was forecast: what the model expects the quarter to bring, in its parts, and the range.
-- depends_on: {{ source('archive', 'backtest') }}, which fills in the locks that were never forecast

select
    f.level,
    f.level_id,
    l.fiscal_quarter,
    l.quarter_start_date,
    l.week_of_quarter,
    f.lock_date,
    f.won_amount,
    f.open_deals_amount,
    f.new_deals_amount,
    f.call_adjustment_amount,
    f.mean_amount as expected_amount,
    f.p10_amount,
    f.p50_amount,
    f.p90_amount,
    f.basis,
    f.trained_quarter_count,
    f.model_version,
    f.is_backfilled
from {{ source('archive', 'quarter_forecasts') }} as f
inner join {{ source('archive', 'locks') }} as l on f.company_id = l.company_id and f.lock_date = l.lock_date
where f.company_id = (select company_id from {{ source('ops', 'company') }})
