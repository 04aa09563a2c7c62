select
    Id as source_contact_id,
    AccountId as source_account_id,
    trim(Name) as contact_name,
    {{ email_of('Email') }} as email,
    Title as title,
    Role__c as role,
    coalesce(IsDeleted, false) or _is_deleted as is_deleted,
    CreatedDate as created_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_salesforce', 'contact', ['Id']) }} as versions
