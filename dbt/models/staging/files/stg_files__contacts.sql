select
    source_system,
    contact_id as source_contact_id,
    account_id as source_account_id,
    trim(name) as contact_name,
    {{ email_of('email') }} as email,
    title,
    role,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_files', 'contacts', ['source_system', 'contact_id']) }} as versions
