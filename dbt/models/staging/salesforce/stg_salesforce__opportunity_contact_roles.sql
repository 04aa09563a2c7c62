select
    Id as opportunity_contact_role_id,
    OpportunityId as source_opportunity_id,
    ContactId as source_contact_id,
    Role as role,
    IsPrimary as is_primary,
    coalesce(IsDeleted, false) or _is_deleted as is_deleted,
    CreatedDate as created_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_salesforce', 'opportunity_contact_role', ['Id']) }} as versions
