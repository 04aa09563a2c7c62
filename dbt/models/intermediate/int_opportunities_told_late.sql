-- One row per deal and lock of which something that had happened before the lock was learned only after it. For every other deal
-- and lock, the state that stood then is the state that was known then.

select distinct c.opportunity_id, l.lock_at
from {{ ref('int_opportunity_changes') }} as c
inner join {{ ref('int_locks') }} as l on c.changed_at < l.lock_at and c.learned_at >= l.lock_at
-- locks stand between two days, and nearly everything is learned the day it happens
where {{ business_date('c.changed_at') }} < {{ business_date('c.learned_at') }}
