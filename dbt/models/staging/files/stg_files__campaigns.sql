select
    source_system,
    campaign_id,
    trim(name) as campaign_name,
    trim(source) as lead_source,
    cost_amount,
    _is_deleted as is_deleted,
    start_date,
    end_date,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_files', 'campaigns', ['source_system', 'campaign_id']) }} as versions
