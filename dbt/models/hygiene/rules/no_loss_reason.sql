-- Lost, and nobody wrote down why.
select
    s.opportunity_id,
    s.valid_from_at as from_at,
    s.valid_to_at as to_at,
    'lost on ' || cast(s.booking_date as varchar) || ' without a reason' as evidence
from {{ ref('fct_opportunity_states') }} as s
where s.outcome = 'lost'
    and {{ is_live('s') }}
    and s.loss_reason is null
    and {{ is_kept('loss_reason', 's') }}
