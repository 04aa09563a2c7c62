-- One row per currency and period with one rate for open deals: the plan rate in force, or, where there is none, the dated
-- rate on the first day of the fiscal quarter; null while neither is known.

with span as (

    select
        least(min(valid_from_date), {{ plus_days('max(a.as_of_date)', -3700) }}) as first_day,
        {{ plus_days('max(a.as_of_date)', 1) }} as last_day
    from {{ ref('int_currency_rates') }}
    cross join {{ ref('int_as_of') }} as a

),

days as (

    select d.date_day, d.quarter_start_date
    from {{ ref('int_dates') }} as d
    inner join span as s on d.date_day >= s.first_day and d.date_day <= s.last_day

),

daily as (

    select
        c.currency_code,
        d.date_day,
        coalesce(p.rate_to_base, q.rate_to_base) as rate_to_base
    from (select distinct currency_code from {{ ref('int_currency_rates') }}) as c
    cross join days as d
    left join {{ ref('int_currency_rates') }} as p
        on c.currency_code = p.currency_code and p.rate_type = 'plan'
        and {{ holds_on('p', 'd.date_day') }}
    left join {{ ref('int_currency_rates') }} as q
        on c.currency_code = q.currency_code and q.rate_type = 'dated'
        and {{ holds_on('q', 'd.quarter_start_date') }}

),

steps as (

    select
        *,
        lag(rate_to_base) over (partition by currency_code order by date_day) as rate_before,
        row_number() over (partition by currency_code order by date_day) as day_number
    from daily

),

starts as (

    select * from steps
    where day_number = 1 or coalesce(rate_to_base, -1) <> coalesce(rate_before, -1)

)

select
    currency_code,
    rate_to_base,
    case when day_number = 1 then date '1900-01-01' else date_day end as valid_from_date,
    lead(date_day) over (partition by currency_code order by date_day) as valid_to_date
from starts
