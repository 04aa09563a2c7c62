-- One row per person and working day on the job: Monday to Friday less holidays, from the start of the deal history to as_of,
-- where they were neither on leave nor gone.

select
    r.rep_id,
    coalesce(r.role, 'rep') as role,
    coalesce(r.team, 'unassigned') as team,
    coalesce(r.segment, 'unassigned') as segment,
    d.date_day,
    d.week_start_date,
    d.fiscal_quarter,
    d.quarter_start_date
from {{ ref('int_rep_assignments') }} as r
cross join {{ ref('int_as_of') }} as n
inner join {{ ref('int_dates') }} as d
    on d.date_day >= greatest(r.valid_from_date, {{ business_date('n.history_starts_at') }})
    and d.date_day <= least({{ plus_days("coalesce(r.valid_to_date, date '9999-12-31')", -1) }}, n.as_of_date)
where r.status = 'active' and d.is_working_day
