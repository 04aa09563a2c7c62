select
    Id as stage_id,
    trim(ApiName) as stage,
    trim(MasterLabel) as stage_label,
    SortOrder as stage_order,
    {{ outcome_of('IsClosed', 'IsWon') }} as outcome,
    cast(DefaultProbability / 100 as decimal(9, 4)) as default_probability,
    {{ forecast_category('ForecastCategoryName') }} as default_forecast_category,
    IsActive as is_active,
    greatest(LastModifiedDate, SystemModstamp) as last_modified_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load,
    _is_latest
from {{ all_versions('raw_salesforce', 'opportunity_stage', ['Id']) }} as versions
