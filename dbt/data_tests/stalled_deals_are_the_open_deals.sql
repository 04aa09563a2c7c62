-- Protects stalled_deals: every open deal is there once with its whole amount, and nothing else; a deal that fell out stalls unseen.
select o.opportunity_id as open_opportunity_id, s.opportunity_id
from (
    select opportunity_id, amount_base
    from {{ ref('fct_opportunities') }}
    where outcome = 'open' and not is_deleted and merged_into_id is null and not is_excluded
) as o
full join {{ ref('stalled_deals') }} as s on o.opportunity_id = s.opportunity_id
where o.opportunity_id is null
    or s.opportunity_id is null
    or o.amount_base <> s.amount_base
