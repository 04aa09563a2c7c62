-- One row per rep, spell of employment and assignment (one team, manager, segment, role and status).

select
    a.rep_id || '/' || cast(a.spell_number as varchar) || '/' || cast(a.valid_from_date as varchar) as rep_assignment_id,
    a.rep_id,
    a.rep_name,
    a.email,
    a.spell_number,
    a.role,
    a.team,
    a.segment,
    a.region,
    a.manager_id,
    a.status,
    a.end_reason,
    a.hire_date,
    a.spell_start_date,
    a.spell_end_date,
    a.valid_from_date,
    a.valid_to_date,
    a.valid_from_date <= n.as_of_date and (a.valid_to_date is null or a.valid_to_date > n.as_of_date) as is_current
from {{ ref('int_rep_assignments') }} as a
cross join {{ ref('int_as_of') }} as n
