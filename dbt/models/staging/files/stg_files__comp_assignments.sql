select
    source_system,
    user_id as source_user_id,
    plan_id,
    valid_from as valid_from_date,
    valid_to as valid_to_date,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_files', 'comp_assignments', ['source_system', 'user_id', 'plan_id', 'valid_from']) }} as versions
