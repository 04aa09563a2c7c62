-- One row per submitted forecast call. Commit includes what is won to date; a later submission replaces none.

select
    c.rep_id,
    c.scope,
    d.fiscal_quarter,
    d.quarter_start_date,
    c.period_start_date,
    c.commit_amount,
    c.best_case_amount,
    c.pipeline_amount,
    c.currency_code,
    {{ cents('c.commit_amount', 'r.rate_to_base') }} as commit_amount_base,
    {{ cents('c.best_case_amount', 'r.rate_to_base') }} as best_case_amount_base,
    {{ cents('c.pipeline_amount', 'r.rate_to_base') }} as pipeline_amount_base,
    c.submitted_at,
    c.learned_at
from {{ ref('int_forecast_calls') }} as c
inner join {{ ref('dim_dates') }} as d on c.period_start_date = d.date_day
left join {{ ref('int_valuation_rates') }} as r
    on c.currency_code = r.currency_code
    and {{ holds_on('r', business_date('c.submitted_at')) }}
