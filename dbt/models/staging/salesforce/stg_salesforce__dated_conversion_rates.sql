select
    Id as dated_conversion_rate_id,
    upper(trim(IsoCode)) as currency_code,
    ConversionRate as conversion_rate,
    StartDate as valid_from_date,
    NextStartDate as valid_to_date,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_salesforce', 'dated_conversion_rate', ['Id']) }} as versions
