select
    source_system,
    user_id as source_user_id,
    {{ forecast_scope_of('scope') }} as scope,
    commit_amount,
    best_case_amount,
    pipeline_amount,
    upper(trim(currency_code)) as currency_code,
    period_start as period_start_date,
    submitted_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_files', 'forecast_calls', ['source_system', 'user_id', 'period_start', 'submitted_at', 'scope']) }} as versions
