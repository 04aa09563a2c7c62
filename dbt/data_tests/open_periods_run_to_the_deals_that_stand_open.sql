-- Protects fct_open_periods: the deals open now are those with a period that has not ended; otherwise touches of open deals are
-- counted on closed ones, or lost.
select d.opportunity_id, d.outcome, p.opportunity_id as open_opportunity_id
from {{ ref('fct_opportunities') }} as d
full join (select opportunity_id from {{ ref('fct_open_periods') }} where open_to_date is null) as p
    on d.opportunity_id = p.opportunity_id
where (d.outcome = 'open' and not d.is_deleted and d.merged_into_id is null and not d.is_excluded)
    <> (p.opportunity_id is not null)
    or d.opportunity_id is null
