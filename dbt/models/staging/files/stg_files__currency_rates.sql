select
    source_system,
    upper(trim(from_currency)) as from_currency,
    upper(trim(to_currency)) as to_currency,
    coalesce(lower(rate_type), 'dated') as rate_type,
    rate,
    valid_from as valid_from_date,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_files', 'currency_rates', ['source_system', 'from_currency', 'to_currency', 'valid_from', 'rate_type']) }} as versions
