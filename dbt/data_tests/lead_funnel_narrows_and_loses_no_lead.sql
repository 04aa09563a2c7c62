-- Protects lead_funnel: a lead that falls out of the table, or a step with more leads than the one before, makes every rate a guess.
with told as (

    select
        sum(lead_count) as lead_count,
        sum(won_deal_count) as won_deal_count,
        sum(won_amount) as won_amount,
        sum(case
            when qualified_count > lead_count or converted_count > qualified_count or won_count > converted_count
                or won_deal_count > won_count or open_count > lead_count
                then 1 else 0
        end) as bad_count
    from {{ ref('lead_funnel') }}

),

leads as (

    select count(*) as lead_count
    from {{ ref('int_leads') }}
    where created_at is not null

),

deals as (

    -- the won deals behind leads, each once, whichever of them it was merged into
    select count(*) as won_deal_count, coalesce(sum(won_amount_base), 0) as won_amount
    from {{ ref('fct_opportunities') }}
    where outcome = 'won' and not is_deleted and merged_into_id is null and not is_excluded
        and opportunity_id in (
            select coalesce(o.merged_into_id, o.opportunity_id)
            from {{ ref('int_leads') }} as l
            inner join {{ ref('fct_opportunities') }} as o on l.opportunity_id = o.opportunity_id
            where l.created_at is not null
        )

)

select *
from told as t
cross join leads as l
cross join deals as d
where coalesce(t.lead_count, 0) <> l.lead_count
    or coalesce(t.won_deal_count, 0) <> d.won_deal_count
    or coalesce(t.won_amount, 0) <> d.won_amount
    or t.bad_count > 0
