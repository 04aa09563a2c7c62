-- One row per pipeline, stage and stretch of time in which its label, order and meaning stood so. Renames and reorders are new rows;
-- what a stage was before it was first read is what it was then. seeds/stages.csv decides `is_pipeline` where it names the stage.

with versions as (

    select
        'salesforce' as source_system, 'salesforce/default' as pipeline, stage, stage_label, stage_order, outcome,
        cast(null as boolean) as is_pipeline, default_probability, default_forecast_category,
        last_modified_at, _extracted_at, _load_id, _version, _is_deleted
    from {{ ref('stg_salesforce__opportunity_stages') }}
    union all
    select
        'hubspot', pipeline, stage, stage_label, stage_order, outcome,
        null, default_probability, null,
        last_modified_at, _extracted_at, _load_id, _version, _is_deleted
    from {{ ref('stg_hubspot__deal_pipeline_stages') }}
    union all
    select
        source_system, pipeline, stage, stage, stage_order, outcome,
        is_pipeline, default_probability, default_forecast_category,
        null, _extracted_at, _load_id, _version, _is_deleted
    from {{ ref('stg_files__stages') }}

),

scales as (

    -- files give probabilities as shares or as percent, a whole system in one way
    select source_system, case when max(default_probability) > 1 then 100 else 1 end as probability_scale
    from versions
    group by source_system

),

dated as (

    select
        *,
        row_number() over (partition by source_system, pipeline, stage order by _load_id, _version) as version_number,
        lag(_extracted_at) over (partition by source_system, pipeline, stage order by _load_id, _version) as previous_extracted_at
    from versions
    where not _is_deleted

),

starts as (

    select
        source_system, pipeline, stage, version_number,
        case
            when version_number = 1 then timestamp '1970-01-01 00:00:00'
            when last_modified_at > previous_extracted_at and last_modified_at <= _extracted_at then last_modified_at
            else _extracted_at
        end as from_at
    from dated

),

overrides as (

    select
        source_system, pipeline, stage, is_pipeline,
        coalesce({{ start_of_business_date('valid_from_date') }}, timestamp '1970-01-01 00:00:00') as from_at
    from {{ ref('stages') }}

),

events as (

    select source_system, pipeline, stage, from_at, version_number, cast(null as integer) as override from starts
    union all
    select overrides.source_system, overrides.pipeline, overrides.stage, overrides.from_at, null, case when overrides.is_pipeline then 1 else 0 end
    from overrides
    inner join dated as known
        on overrides.source_system = known.source_system
        and overrides.pipeline = known.pipeline
        and overrides.stage = known.stage
        and known.version_number = 1

),

instants as (

    select source_system, pipeline, stage, from_at, max(version_number) as version_number, max(override) as override
    from events
    group by source_system, pipeline, stage, from_at

),

carried as (

    select
        source_system, pipeline, stage, from_at,
        {{ last_known('version_number', 'source_system, pipeline, stage', 'from_at') }} as version_number,
        {{ last_known('override', 'source_system, pipeline, stage', 'from_at') }} as override
    from instants

)

select
    carried.source_system,
    carried.pipeline,
    carried.stage,
    dated.stage_label,
    dated.stage_order,
    coalesce(carried.override = 1, dated.is_pipeline, dated.outcome = 'open') as is_pipeline,
    dated.outcome,
    cast(dated.default_probability / scales.probability_scale as decimal(9, 4)) as default_probability,
    dated.default_forecast_category,
    carried.from_at as valid_from_at,
    lead(carried.from_at) over (partition by carried.source_system, carried.pipeline, carried.stage order by carried.from_at) as valid_to_at
from carried
inner join dated
    on carried.source_system = dated.source_system
    and carried.pipeline = dated.pipeline
    and carried.stage = dated.stage
    and carried.version_number = dated.version_number
inner join scales on carried.source_system = scales.source_system
