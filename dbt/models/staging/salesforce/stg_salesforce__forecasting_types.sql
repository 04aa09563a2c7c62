select
    Id as forecasting_type_id,
    lower(trim(DeveloperName)) as type_name,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_salesforce', 'forecasting_type', ['Id']) }} as versions
