select
    Id as activity_id,
    OwnerId as source_user_id,
    WhatId as what_id,
    WhoId as source_contact_id,
    AccountId as source_account_id,
    Type as event_type,
    Subject as subject,
    Outcome__c as outcome,
    coalesce(IsDeleted, false) or _is_deleted as is_deleted,
    CreatedDate as created_at,
    StartDateTime as started_at,
    EndDateTime as ended_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at
from {{ newest_versions('raw_salesforce', 'event', ['Id']) }} as versions
