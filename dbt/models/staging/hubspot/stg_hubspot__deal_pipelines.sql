select
    'hubspot/' || id as pipeline,
    trim(label) as pipeline_label,
    displayOrder as pipeline_order,
    coalesce(archived, false) or _is_deleted as is_archived,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_hubspot', 'deal_pipeline', ['id']) }} as versions
