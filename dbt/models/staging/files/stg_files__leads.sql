select
    source_system,
    lead_id,
    owner_id as source_user_id,
    campaign_id,
    opportunity_id as source_opportunity_id,
    trim(source) as lead_source,
    status,
    _is_deleted as is_deleted,
    created_at,
    qualified_at,
    converted_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_files', 'leads', ['source_system', 'lead_id']) }} as versions
