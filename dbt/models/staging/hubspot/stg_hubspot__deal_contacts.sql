select
    'hubspot-' || deal_id as source_opportunity_id,
    'hubspot-' || contact_id as source_contact_id,
    label as role,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_hubspot', 'deal_contact', ['deal_id', 'contact_id']) }} as versions
