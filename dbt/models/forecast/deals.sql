-- One row per open deal and lock that was forecast, for the lock's quarter: as it was forecast then, never restated.
-- depends_on: {{ source('archive', 'backtest') }}, which fills in the locks that were never forecast

select
    f.opportunity_id,
    f.lock_date,
    l.fiscal_quarter,
    l.quarter_start_date,
    l.week_of_quarter,
    f.rep_id,
    f.team,
    f.segment,
    f.forecast_category,
    f.supported_category,
    f.amount_base,
    f.win_in_quarter_probability,
    f.win_probability,
    f.amount_if_won,
    f.expected_amount,
    f.base_rate,
    f.reasons,
    f.basis,
    f.trained_quarter_count,
    f.model_version,
    f.is_backfilled
from {{ source('archive', 'deal_forecasts') }} as f
inner join {{ source('archive', 'locks') }} as l on f.company_id = l.company_id and f.lock_date = l.lock_date
where f.company_id = (select company_id from {{ source('ops', 'company') }})
