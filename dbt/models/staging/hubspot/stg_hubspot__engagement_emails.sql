select
    'hubspot-' || id as activity_id,
    'hubspot-' || hubspot_owner_id as source_user_id,
    'hubspot-' || deal_id as source_opportunity_id,
    'hubspot-' || company_id as source_account_id,
    'hubspot-' || contact_id as source_contact_id,
    title as subject,
    hs_timestamp as scheduled_at,
    hs_email_direction as direction,
    hs_email_status as status,
    createdate as created_at,
    hs_lastmodifieddate as last_modified_at,
    coalesce(archived, false) as is_archived,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at
from {{ newest_versions('raw_hubspot', 'engagement_email', ['id']) }} as versions
