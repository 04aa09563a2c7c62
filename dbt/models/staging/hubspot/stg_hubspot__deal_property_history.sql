select
    'hubspot-' || deal_id as source_opportunity_id,
    property as source_field,
    value as new_value,
    changed_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_hubspot', 'deal_property_history', ['deal_id', 'property', 'changed_at', 'value']) }} as versions
