select
    source_system,
    user_id as source_user_id,
    trim(team) as team,
    coalesce(lower(type), 'full') as quota_type,
    amount,
    upper(trim(currency_code)) as currency_code,
    period_start as period_start_date,
    period_end as period_end_date,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_files', 'quotas', ['source_system', 'user_id', 'team', 'period_start', 'period_end', 'type']) }} as versions
