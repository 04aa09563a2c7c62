select
    'gong-' || call_id as activity_id,
    'gong-' || id as party_id,
    'gong-' || userId as source_user_id,
    {{ email_of('emailAddress') }} as email,
    lower(affiliation) as affiliation,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at
from {{ newest_versions('raw_gong', 'call_party', ['call_id', 'id']) }} as versions
