select
    Id as currency_type_id,
    upper(trim(IsoCode)) as currency_code,
    ConversionRate as conversion_rate,
    IsCorporate as is_corporate,
    StartDate as valid_from_date,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load,
    _is_latest
from {{ all_versions('raw_salesforce', 'currency_type', ['Id']) }} as versions
