select
    'gong-' || id as source_user_id,
    nullif(trim(coalesce(firstName, '') || ' ' || coalesce(lastName, '')), '') as user_name,
    {{ email_of('emailAddress') }} as email,
    'gong-' || managerId as manager_id,
    active as is_active,
    created as created_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_gong', 'user', ['id']) }} as versions
