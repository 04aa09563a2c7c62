-- One row per weekly lock that is not frozen yet: the newest one once its week is over, and every one that was missed.
{{ config(schema='intermediate') }}

select
    c.company_id,
    l.lock_date,
    l.lock_at,
    l.fiscal_quarter,
    l.quarter_start_date,
    l.quarter_end_date,
    cast(l.week_of_quarter as integer) as week_of_quarter,
    l.lock_date < n.lock_date as is_backfilled
from {{ ref('int_locks') }} as l
cross join {{ ref('int_as_of') }} as n
cross join {{ source('ops', 'company') }} as c
left join {{ source('archive', 'locks') }} as f on c.company_id = f.company_id and l.lock_date = f.lock_date
where not l.is_settlement and f.lock_date is null
