-- One row per method and settled quarter: how far the chances of its locks lay from what came, against what the stage alone says.
-- Filled by `make backtest`, where the model had enough to go by.

with measured as (

    select
        method,
        quarter_start_date,
        sum(deal_count) as deal_count,
        sum(won_count) as won_count,
        sum(squared_error) as squared_error,
        sum(base_squared_error) as base_squared_error
    from {{ source('archive', 'calibration') }}
    where company_id = (select company_id from {{ source('ops', 'company') }})
    group by method, quarter_start_date

)

select
    m.method,
    q.fiscal_quarter,
    m.quarter_start_date,
    cast(m.deal_count as bigint) as deal_count,
    cast(m.won_count as bigint) as won_count,
    cast(m.squared_error as decimal(18, 6)) as squared_error,
    cast(m.base_squared_error as decimal(18, 6)) as base_squared_error,
    cast(m.squared_error / nullif(m.deal_count, 0) as decimal(18, 6)) as brier_score,
    cast(1e0 - m.squared_error / nullif(m.base_squared_error, 0e0) as decimal(18, 6)) as brier_skill,
    m.deal_count < {{ var('minimum_n') }} as is_small_sample
from measured as m
inner join {{ ref('dim_dates') }} as q on m.quarter_start_date = q.date_day
