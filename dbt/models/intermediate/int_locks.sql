-- One row per instant at which what is known is locked in: the end of each week, and of the day a fiscal quarter settles.

select
    d.fiscal_quarter,
    d.quarter_start_date,
    d.quarter_end_date,
    d.week_of_quarter,
    d.date_day as lock_date,
    {{ start_of_business_date(plus_days('d.date_day', 1)) }} as lock_at,
    false as is_settlement
from {{ ref('int_dates') }} as d
cross join {{ ref('int_as_of') }} as n
where d.date_day = d.week_end_date
    and d.date_day >= {{ business_date('n.history_starts_at') }}
    and d.date_day <= n.lock_date
union all
select
    d.fiscal_quarter,
    d.quarter_start_date,
    d.quarter_end_date,
    null,
    {{ plus_days('d.quarter_end_date', var('settlement_days')) }},
    {{ start_of_business_date(plus_days('d.quarter_end_date', var('settlement_days') + 1)) }},
    true
from {{ ref('int_dates') }} as d
cross join {{ ref('int_as_of') }} as n
where d.date_day = d.quarter_end_date
    and d.date_day >= {{ business_date('n.history_starts_at') }}
    -- a day is over with its last second
    and {{ plus_days('d.quarter_end_date', var('settlement_days')) }} < {{ business_date(dbt.dateadd('second', 1, 'n.as_of_at')) }}
