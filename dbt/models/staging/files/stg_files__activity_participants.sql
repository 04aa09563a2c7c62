select
    source_system,
    activity_id,
    contact_id as source_contact_id,
    {{ email_of('email') }} as email,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at
from {{ newest_versions('raw_files', 'activity_participants', ['source_system', 'activity_id', 'email', 'contact_id']) }} as versions
