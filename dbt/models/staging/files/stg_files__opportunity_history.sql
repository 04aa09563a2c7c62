select
    source_system,
    opportunity_id as source_opportunity_id,
    lower(trim(field)) as field,
    old_value,
    new_value,
    changed_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_files', 'opportunity_history', ['source_system', 'opportunity_id', 'field', 'changed_at', 'new_value']) }} as versions
