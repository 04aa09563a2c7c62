-- No next step, or one whose date has passed: then from the day after that date.
select
    s.opportunity_id,
    case when s.next_step is null then s.valid_from_at else greatest(s.valid_from_at, {{ start_of_business_date(plus_days('s.next_step_date', 1)) }}) end as from_at,
    s.valid_to_at as to_at,
    case when s.next_step is null then 'no next step' else 'next step "' || s.next_step || '" was due ' || cast(s.next_step_date as varchar) end as evidence
from {{ ref('fct_opportunity_states') }} as s
where s.outcome = 'open'
    and {{ is_live('s') }}
    and {{ is_kept('next_step', 's') }}
    and (
        s.next_step is null
        or s.valid_to_at is null and s.next_step_date is not null
        or {{ start_of_business_date(plus_days('s.next_step_date', 1)) }} < s.valid_to_at
    )
