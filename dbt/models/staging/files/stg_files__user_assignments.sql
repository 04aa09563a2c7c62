select
    source_system,
    user_id as source_user_id,
    lower(trim(status)) as employment_status,
    lower(end_reason) as end_reason,
    trim(team) as team,
    trim(segment) as segment,
    manager_id,
    {{ role_of('role') }} as role,
    valid_from as valid_from_date,
    valid_to as valid_to_date,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_files', 'user_assignments', ['source_system', 'user_id', 'valid_from']) }} as versions
