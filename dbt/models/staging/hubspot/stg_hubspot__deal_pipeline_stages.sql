select
    'hubspot/' || pipeline_id as pipeline,
    id as stage,
    trim(label) as stage_label,
    displayOrder as stage_order,
    {{ outcome_of('isClosed', 'probability >= 1') }} as outcome,
    probability as default_probability,
    coalesce(archived, false) or _is_deleted as is_archived,
    updatedAt as last_modified_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load,
    _is_latest
from {{ all_versions('raw_hubspot', 'deal_pipeline_stage', ['pipeline_id', 'id']) }} as versions
