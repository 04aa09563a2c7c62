-- At a late stage nobody is named who decides on the money, neither in the deal's field nor by a contact's role. Late: the stage's
-- default probability is at or over the threshold; without probabilities, so much of the pipeline's open stages is behind it.

with buyers as (

    select opportunity_id, min(learned_at) as first_buyer_at
    from {{ ref('int_opportunity_contacts') }}
    where {{ is_buyer_role('role') }}
    group by opportunity_id

),

late_stages as (

    select source_system, pipeline, stage
    from (
        select
            *,
            coalesce(
                default_probability,
                1.0 * (row_number() over (partition by source_system, pipeline order by stage_order, stage) - 1)
                / nullif(count(*) over (partition by source_system, pipeline), 0)
            ) as progress
        from {{ ref('dim_stages') }}
        where is_current and outcome = 'open'
    ) as stages
    where progress >= {{ rule_threshold('no_economic_buyer') }}

)

select
    s.opportunity_id,
    s.valid_from_at as from_at,
    {{ earlier('s.valid_to_at', 'b.first_buyer_at') }} as to_at,
    'no economic buyer at ' || s.stage as evidence
from {{ ref('fct_opportunity_states') }} as s
inner join late_stages as l on s.source_system = l.source_system and s.pipeline = l.pipeline and s.stage = l.stage
left join buyers as b on s.opportunity_id = b.opportunity_id
where s.outcome = 'open'
    and {{ is_live('s') }}
    and s.economic_buyer is null
    and (b.first_buyer_at is null or b.first_buyer_at > s.valid_from_at)
    and s.source_system in (
        select source_system from {{ ref('fct_opportunity_states') }} where economic_buyer is not null
        union
        select d.source_system from {{ ref('int_opportunities') }} as d inner join buyers as k on d.opportunity_id = k.opportunity_id
    )
