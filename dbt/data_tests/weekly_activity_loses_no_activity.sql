-- Protects weekly_activity: each completed call, meeting, demo and e-mail is in one week of the company, and in no other.
select a.type, a.activity_count, w.completed_count
from (
    select type, count(*) as activity_count
    from {{ ref('fct_activities') }} as a
    where {{ is_effort('a') }}
    group by type
) as a
full join (
    select activity_type, sum(completed_count) as completed_count
    from {{ ref('weekly_activity') }}
    where level = 'company'
    group by activity_type
) as w on a.type = w.activity_type
where coalesce(a.activity_count, 0) <> coalesce(w.completed_count, 0)
