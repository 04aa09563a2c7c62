select
    Id as campaign_id,
    trim(Name) as campaign_name,
    Type as lead_source,
    ActualCost as cost_amount,
    coalesce(IsDeleted, false) or _is_deleted as is_deleted,
    StartDate as start_date,
    EndDate as end_date,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_salesforce', 'campaign', ['Id']) }} as versions
