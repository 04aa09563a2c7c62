select
    source_system,
    programme_id,
    user_id as source_user_id,
    trim(name) as programme_name,
    start_date,
    end_date,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_files', 'programmes', ['source_system', 'programme_id', 'user_id']) }} as versions
