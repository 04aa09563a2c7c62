select
    'gong-' || id as activity_id,
    'gong-' || primaryUserId as source_user_id,
    title as subject,
    lower(direction) as direction,
    lower(scope) as scope,
    duration as duration_seconds,
    coalesce(isPrivate, false) as is_private,
    scheduled as scheduled_at,
    started as started_at,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at
from {{ newest_versions('raw_gong', 'call', ['id']) }} as versions
