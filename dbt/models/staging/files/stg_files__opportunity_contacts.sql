select
    source_system,
    opportunity_id as source_opportunity_id,
    contact_id as source_contact_id,
    role,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_files', 'opportunity_contacts', ['source_system', 'opportunity_id', 'contact_id', 'role']) }} as versions
