-- evidence: a fact is verified exactly where it cites an event that is there, took place by the lock and was known then; and it says so of
-- every open deal. Would fail: an activity matched away since, or one from after the lock.
select e.opportunity_id, e.fact
from {{ ref('evidence') }} as e
cross join {{ ref('int_as_of') }} as n
left join {{ ref('fct_activities') }} as a on e.event_id = a.activity_id
where (e.status = 'verified') <> (e.event_id is not null)
    or (e.event_id is not null and e.event_date > n.lock_date)
    or (e.status <> 'absent') <> (e.claim is not null or e.status = 'verified')
union all
select opportunity_id, cast(count(*) as varchar)
from {{ ref('evidence') }}
group by opportunity_id
having count(*) <> 6
