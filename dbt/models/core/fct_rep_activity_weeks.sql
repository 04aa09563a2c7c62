-- One row per rep (with team and segment), week and activity type with a completed activity: how many, and how many were answered.

select
    a.rep_id,
    coalesce(p.team, 'unassigned') as team,
    coalesce(p.segment, 'unassigned') as segment,
    a.week_start_date,
    a.type as activity_type,
    cast(count(*) as integer) as completed_count,
    cast(sum(case when a.is_two_way then 1 else 0 end) as integer) as two_way_count
from {{ ref('fct_activities') }} as a
left join {{ ref('int_rep_attributes') }} as p
    on a.rep_id = p.rep_id
    and {{ holds_on('p', 'a.activity_date') }}
where {{ is_effort('a') }}
group by 1, 2, 3, 4, 5
