-- One row per method and tenth of the chances: of the deals given such a chance to be won by the quarter's end, how many were. Filled by
-- `make backtest`, where the model had enough to go by.

with measured as (

    select
        method,
        bin_number,
        sum(deal_count) as deal_count,
        sum(won_count) as won_count,
        sum(predicted_count) as predicted_count,
        sum(squared_error) as squared_error,
        sum(base_squared_error) as base_squared_error
    from {{ source('archive', 'calibration') }}
    where company_id = (select company_id from {{ source('ops', 'company') }})
    group by method, bin_number

)

select
    method,
    cast(bin_number as integer) as bin_number,
    cast(deal_count as bigint) as deal_count,
    cast(won_count as bigint) as won_count,
    cast(predicted_count as decimal(18, 6)) as predicted_count,
    cast(predicted_count / nullif(deal_count, 0) as decimal(18, 6)) as predicted_rate,
    cast(1e0 * won_count / nullif(deal_count, 0) as decimal(18, 6)) as observed_rate,
    cast({{ wilson_low('won_count', 'deal_count') }} as decimal(18, 6)) as observed_rate_low,
    cast({{ wilson_high('won_count', 'deal_count') }} as decimal(18, 6)) as observed_rate_high,
    cast(sum(squared_error) over (partition by method) / nullif(sum(deal_count) over (partition by method), 0) as decimal(18, 6)) as brier_score,
    cast(1e0 - sum(squared_error) over (partition by method) / nullif(sum(base_squared_error) over (partition by method), 0e0) as decimal(18, 6)) as brier_skill,
    deal_count < {{ var('minimum_n') }} as is_small_sample
from measured
