select
    source_system,
    plan_id,
    trim(name) as plan_name,
    base_amount,
    tier_from as tier_from_rate,
    commission_rate,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_files', 'comp_plans', ['source_system', 'plan_id', 'tier_from']) }} as versions
