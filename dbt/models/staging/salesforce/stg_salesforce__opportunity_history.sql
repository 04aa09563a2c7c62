select
    Id as history_id,
    OpportunityId as source_opportunity_id,
    trim(StageName) as stage,
    {{ forecast_category('ForecastCategory') }} as forecast_category,
    Amount as amount,
    cast(Probability / 100 as decimal(9, 4)) as probability,
    CloseDate as close_date,
    CreatedDate as changed_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_salesforce', 'opportunity_history', ['Id']) }} as versions
