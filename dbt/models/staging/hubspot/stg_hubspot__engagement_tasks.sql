select
    'hubspot-' || id as activity_id,
    'hubspot-' || hubspot_owner_id as source_user_id,
    'hubspot-' || deal_id as source_opportunity_id,
    'hubspot-' || company_id as source_account_id,
    'hubspot-' || contact_id as source_contact_id,
    title as subject,
    hs_timestamp as scheduled_at,
    hs_task_status as status,
    hs_task_completion_date as completed_at,
    createdate as created_at,
    hs_lastmodifieddate as last_modified_at,
    coalesce(archived, false) as is_archived,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at
from {{ newest_versions('raw_hubspot', 'engagement_task', ['id']) }} as versions
