select
    'gong-' || call_id as activity_id,
    lower(system) as crm_system,
    lower(object_type) as object_type,
    case lower(system) when 'hubspot' then 'hubspot-' || object_id else object_id end as object_id,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at
from {{ newest_versions('raw_gong', 'call_context', ['call_id', 'object_type', 'object_id']) }} as versions
