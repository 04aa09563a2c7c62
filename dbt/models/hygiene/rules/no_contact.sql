-- Nobody of the customer is on the deal: from its opening to the first contact.
select
    s.opportunity_id,
    s.valid_from_at as from_at,
    {{ earlier('s.valid_to_at', 'c.first_contact_at') }} as to_at,
    'no contact on the deal' as evidence
from {{ ref('fct_opportunity_states') }} as s
left join (
    select opportunity_id, min(learned_at) as first_contact_at
    from {{ ref('int_opportunity_contacts') }}
    group by opportunity_id
) as c on s.opportunity_id = c.opportunity_id
where s.outcome = 'open'
    and {{ is_live('s') }}
    and (c.first_contact_at is null or c.first_contact_at > s.valid_from_at)
    and s.source_system in (
        select d.source_system
        from {{ ref('int_opportunities') }} as d
        inner join {{ ref('int_opportunity_contacts') }} as k on d.opportunity_id = k.opportunity_id
    )
