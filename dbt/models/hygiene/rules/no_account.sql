-- The deal belongs to no account, so it is in no territory and on no customer's page.
select
    s.opportunity_id,
    s.valid_from_at as from_at,
    s.valid_to_at as to_at,
    'no account' as evidence
from {{ ref('fct_opportunity_states') }} as s
where s.account_id is null
    and {{ is_live('s') }}
    and {{ is_kept('account_id', 's') }}
