select
    'hubspot-' || id as source_user_id,
    userId as hubspot_user_id,
    nullif(trim(coalesce(firstName, '') || ' ' || coalesce(lastName, '')), '') as user_name,
    {{ email_of('email') }} as email,
    trim(teamName) as team,
    coalesce(archived, false) or _is_deleted as is_archived,
    createdAt as created_at,
    updatedAt as last_modified_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load,
    _is_latest
from {{ all_versions('raw_hubspot', 'owner', ['id']) }} as versions
