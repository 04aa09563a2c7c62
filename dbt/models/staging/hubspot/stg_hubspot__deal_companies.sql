select
    'hubspot-' || deal_id as source_opportunity_id,
    'hubspot-' || company_id as source_account_id,
    coalesce(is_primary, false) as is_primary,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_hubspot', 'deal_company', ['deal_id', 'company_id']) }} as versions
