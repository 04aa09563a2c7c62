-- One row per method, level, fiscal quarter and week of the quarter, of settled quarters: what was, or would have been, forecast at the
-- lock from nothing but what was known then, and what came. Filled by `make backtest`.

select
    b.method,
    b.level,
    b.level_id,
    l.fiscal_quarter,
    l.quarter_start_date,
    l.week_of_quarter,
    b.lock_date,
    b.basis,
    b.forecast_amount,
    b.p10_amount,
    b.p50_amount,
    b.p90_amount,
    b.actual_amount,
    b.actual_count,
    b.actual_amount >= b.p10_amount and b.actual_amount <= b.p90_amount as is_within_range,
    cast(b.forecast_amount - b.actual_amount as decimal(18, 2)) as error_amount,
    b.children_error_amount,
    cast(1 - 1e0 * abs(b.forecast_amount - b.actual_amount) / nullif(b.actual_amount, 0) as decimal(18, 6)) as accuracy,
    cast(1e0 * (b.forecast_amount - b.actual_amount) / nullif(b.actual_amount, 0) as decimal(18, 6)) as bias,
    cast(1e0 * b.children_error_amount / nullif(b.actual_amount, 0) as decimal(18, 6)) as wape,
    b.actual_count < {{ var('minimum_n') }} as is_small_sample
from {{ source('archive', 'backtest') }} as b
inner join {{ source('archive', 'locks') }} as l on b.company_id = l.company_id and b.lock_date = l.lock_date
where b.company_id = (select company_id from {{ source('ops', 'company') }})
