select
    'hubspot-' || id as submission_id,
    'hubspot-' || hubspot_owner_id as source_user_id,
    hs_team_id as team_id,
    hs_deal_pipeline_id as pipeline_id,
    lower(hs_milestone) as period_type,
    {{ date_of_text('hs_forecast_start_date') }} as period_start_date,
    hs_amount as amount,
    hs_lastmodifieddate as submitted_at,
    coalesce(archived, false) or _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load,
    _is_latest
from {{ all_versions('raw_hubspot', 'forecast_submission', ['id']) }} as versions
