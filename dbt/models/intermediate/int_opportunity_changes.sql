-- One row per deal, field and change: the stream that deal states are built from. Every field a deal carries begins at its creation.
-- A system's own stamped history wins for the fields it covers; the rest is read off the versions of the record. What a record first
-- seen later says is back-dated to the creation, and how it ended to its close (`is_reconstructed`).
{{ catch_up_by_deal() }}
{%- set fields = opportunity_fields() %}

with hubspot_merges as (

    select source_opportunity_id as id, merged_into_id from {{ ref('stg_hubspot__merged_deals') }}

),

deals as (

    select
        deals.opportunity_id,
        deals.source_system,
        deals.pipeline,
        deals.created_at,
        first_versions.is_from_first_load,
        case when first_versions.is_from_first_load then deals.created_at else first_versions.extracted_at end as learned_at
    from {{ ref('int_opportunities') }} as deals
    inner join {{ ref('int_opportunity_versions') }} as first_versions
        on deals.opportunity_id = first_versions.opportunity_id and first_versions.is_first
    where {{ is_built_now('deals.opportunity_id') }}

),

stamped as (

    select
        stamped.*,
        deals.created_at,
        deals.learned_at as deal_learned_at,
        {{ business_date('stamped.changed_at') }} <= {{ business_date('deals.created_at') }} as is_from_creation
    from {{ ref('int_opportunity_changes_stamped') }} as stamped
    inner join deals on stamped.opportunity_id = deals.opportunity_id

),

stamped_changes as (

    -- a first value stands from the creation, where it was stamped that day, or where the deal cannot have been without it
    select
        opportunity_id,
        field,
        value,
        case when is_first and old_value is null and (is_from_creation or is_snapshot or field in ('stage', 'pipeline')) then created_at else changed_at end as changed_at,
        case when is_first and old_value is null and (is_from_creation or is_snapshot or field in ('stage', 'pipeline')) then deal_learned_at else learned_at end as learned_at,
        is_first and old_value is null and not is_from_creation and (is_snapshot or field in ('stage', 'pipeline')) as is_reconstructed,
        change_order
    from stamped
    where not (is_first and value is null and (old_value is null or changed_at <= created_at))
    union all
    select opportunity_id, field, old_value, created_at, deal_learned_at, false, 0
    from stamped
    where is_first and old_value is not null and changed_at > created_at

),

covered as (

    select
        opportunity_id
        {%- for field in fields %},
        max(case when field = '{{ field }}' then 1 else 0 end) as covers_{{ field }}
        {%- endfor %}
    from stamped
    where is_first
    group by opportunity_id

),

last_stages as (

    select opportunity_id, max(changed_at) as changed_at
    from stamped
    where field = 'stage'
    group by opportunity_id

),

first_stages as (

    select source_system, pipeline, valid_from_at, valid_to_at, stage
    from (
        select
            source_system, pipeline, stage, valid_from_at, valid_to_at,
            row_number() over (partition by source_system, pipeline order by stage_order, stage) as place
        from {{ ref('int_stages') }}
        where outcome = 'open' and valid_from_at = timestamp '1970-01-01 00:00:00'
    ) as open_stages
    where place = 1

),

placed as (

    select
        versions.*,
        deals.created_at as deal_created_at,
        deals.learned_at as deal_learned_at,
        coalesce(versions.outcome_flag, versions.stage_outcome, 'open') <> 'open' as is_ended,
        lag(versions.extracted_at) over (partition by versions.opportunity_id order by versions.extracted_at) as previous_extracted_at,
        lag(coalesce(versions.outcome_flag, versions.stage_outcome, 'open')) over (partition by versions.opportunity_id order by versions.extracted_at) as previous_outcome
        {%- for field in fields %},
        lag(versions.{{ field }}) over (partition by versions.opportunity_id order by versions.extracted_at) as previous_{{ field }}
        {%- endfor %}
    from {{ ref('int_opportunity_versions') }} as versions
    inner join deals on versions.opportunity_id = deals.opportunity_id

),

dated as (

    -- changed_at: when the version came to be; ended_at: when the deal of a first version closed
    select
        placed.*,
        case
            when is_first then deal_created_at
            when is_ended and previous_outcome = 'open' and closed_at > previous_extracted_at and closed_at <= extracted_at then closed_at
            when last_modified_at > previous_extracted_at and last_modified_at <= extracted_at then last_modified_at
            else extracted_at
        end as changed_at,
        case when is_first and is_ended then
            least(
                greatest(
                    coalesce(last_stages.changed_at, placed.closed_at, {{ start_of_business_date('placed.close_date') }}, placed.last_modified_at, placed.extracted_at),
                    deal_created_at + interval '1' second
                ),
                greatest(placed.extracted_at, deal_created_at + interval '1' second)
            )
        end as ended_at,
        least(
            greatest(coalesce(placed.last_modified_at, placed.extracted_at), deal_created_at + interval '1' second),
            greatest(placed.extracted_at, deal_created_at + interval '1' second)
        ) as first_modified_at,
        first_stages.stage as first_stage
        {%- for field in fields %},
        coalesce(covered.covers_{{ field }}, 0) = 1 as is_{{ field }}_covered,
        coalesce(systems.tracks_{{ field }}, false) as is_{{ field }}_tracked
        {%- endfor %}
    from placed
    left join covered on placed.opportunity_id = covered.opportunity_id
    left join {{ ref('int_opportunity_systems') }} as systems on placed.source_system = systems.source_system
    left join last_stages on placed.opportunity_id = last_stages.opportunity_id
    left join first_stages on placed.source_system = first_stages.source_system and placed.pipeline = first_stages.pipeline

),

version_changes as (

    {%- for field in fields %}
    {%- set value = 'cast(' ~ field ~ ' as varchar)' %}
    {#- what a first version says: from the creation, from the close where it tells the end, from the last change where it is an event #}
    select
        opportunity_id,
        '{{ field }}' as field,
        {%- if field == 'stage' %}
        case when is_ended then coalesce(first_stage, stage) else stage end as value,
        deal_created_at as changed_at,
        deal_learned_at as learned_at,
        is_ended or (is_from_first_load and not is_stage_tracked) as is_reconstructed,
        {%- elif field in closing_fields() %}
        {{ value }} as value,
        case when is_ended and not is_{{ field }}_tracked then ended_at else deal_created_at end as changed_at,
        case when is_ended and not is_{{ field }}_tracked and is_from_first_load then ended_at else deal_learned_at end as learned_at,
        is_from_first_load and not is_{{ field }}_tracked as is_reconstructed,
        {%- elif field in ['is_deleted', 'merged_into_id'] %}
        {{ value }} as value,
        first_modified_at as changed_at,
        case when is_from_first_load then first_modified_at else deal_learned_at end as learned_at,
        is_from_first_load as is_reconstructed,
        {%- else %}
        {{ value }} as value,
        deal_created_at as changed_at,
        deal_learned_at as learned_at,
        is_from_first_load and not is_{{ field }}_tracked as is_reconstructed,
        {%- endif %}
        0 as change_order
    from dated
    where is_first and not is_{{ field }}_covered and {{ 'is_deleted' if field == 'is_deleted' else field ~ ' is not null' }}
    union all
    select opportunity_id, '{{ field }}', {{ value }}, changed_at, extracted_at, false, version_number
    from dated
    where not is_first and not is_{{ field }}_covered and {{ field }} is distinct from previous_{{ field }}
        {{- '' if field == 'is_deleted' else ' and not is_gone' }}
    union all
    {%- endfor %}
    select opportunity_id, 'stage', stage, ended_at, case when is_from_first_load then ended_at else deal_learned_at end, is_from_first_load, 1
    from dated
    where is_first and not is_stage_covered and is_ended and stage is distinct from coalesce(first_stage, stage)

),

merges as (

    select
        deals.opportunity_id,
        'merged_into_id' as field,
        coalesce(survivors.opportunity_id, merged.survivor_id) as value,
        greatest(merged.changed_at, deals.created_at) as changed_at,
        merged.learned_at,
        false as is_reconstructed,
        1 as change_order
    from (
        select chains.id, chains.survivor_id, links.changed_at, {{ learned_at('links.changed_at') }} as learned_at
        from {{ survivors('hubspot_merges') }} as chains
        inner join {{ ref('stg_hubspot__merged_deals') }} as links on chains.id = links.source_opportunity_id
    ) as merged
    inner join deals on merged.id = deals.opportunity_id and deals.source_system = 'hubspot'
    left join {{ ref('int_opportunities_matched') }} as survivors
        on merged.survivor_id = survivors.source_opportunity_id and survivors.source_system = 'hubspot'

),

changes as (

    select * from stamped_changes
    union all
    select * from version_changes
    union all
    select * from merges

)

select
    changes.opportunity_id,
    changes.field,
    changes.value,
    changes.changed_at,
    changes.learned_at,
    changes.is_reconstructed,
    changes.change_order
from changes
cross join {{ ref('int_as_of') }} as n
where changes.changed_at <= n.as_of_at and changes.learned_at <= n.as_of_at
