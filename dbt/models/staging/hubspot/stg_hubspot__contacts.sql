select
    'hubspot-' || id as source_contact_id,
    'hubspot-' || associatedcompanyid as source_account_id,
    nullif(trim(coalesce(firstname, '') || ' ' || coalesce(lastname, '')), '') as contact_name,
    {{ email_of('email') }} as email,
    jobtitle as title,
    hs_buying_role as role,
    lifecyclestage as lifecycle_stage,
    coalesce(archived, false) or _is_deleted as is_deleted,
    createdate as created_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_hubspot', 'contact', ['id']) }} as versions
