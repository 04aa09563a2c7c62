select
    'hubspot-' || merged_deal_id as source_opportunity_id,
    'hubspot-' || deal_id as merged_into_id,
    merged_at as changed_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_hubspot', 'merged_deal', ['merged_deal_id']) }} as versions
