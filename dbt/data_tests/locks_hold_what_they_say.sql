-- locks: every lock still has as many deals, worth as much, as when it was frozen, and none is missing between the first and the newest.
-- Would fail: somebody changed or deleted what was frozen, a lock was taken in part.
-- depends_on: {{ ref('rollup') }}
select l.lock_date, 'changed' as trouble
from {{ source('forecast', 'locks') }} as l
left join (
    select lock_date, count(*) as deal_count, sum(amount_base) as open_amount
    from {{ source('forecast', 'locked_inputs') }}
    group by lock_date
) as d on l.lock_date = d.lock_date
where l.deal_count <> coalesce(d.deal_count, 0) or l.open_amount <> coalesce(d.open_amount, 0)
union all
select l.lock_date, 'missing'
from {{ ref('int_locks') }} as l
left join {{ source('forecast', 'locks') }} as f on l.lock_date = f.lock_date
where not l.is_settlement and f.lock_date is null
