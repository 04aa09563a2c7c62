-- Called commit, and nothing on the record says why: no champion, economic buyer, budget, timeline or next step, and no contact in
-- such a role.
select
    s.opportunity_id,
    s.valid_from_at as from_at,
    {{ earlier('s.valid_to_at', 'b.first_backer_at') }} as to_at,
    'in commit without a champion, economic buyer, budget, timeline or next step' as evidence
from {{ ref('fct_opportunity_states') }} as s
left join (
    select opportunity_id, min(learned_at) as first_backer_at
    from {{ ref('int_opportunity_contacts') }}
    where {{ is_buyer_role('role') }} or {{ is_champion_role('role') }}
    group by opportunity_id
) as b on s.opportunity_id = b.opportunity_id
where s.outcome = 'open'
    and {{ is_live('s') }}
    and s.forecast_category = 'commit'
    and s.champion is null
    and s.economic_buyer is null
    and not coalesce(s.budget_confirmed, false)
    and s.decision_timeline is null
    and s.next_step is null
    and (b.first_backer_at is null or b.first_backer_at > s.valid_from_at)
