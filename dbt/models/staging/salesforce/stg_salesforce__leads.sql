select
    Id as lead_id,
    OwnerId as source_user_id,
    CampaignId__c as campaign_id,
    ConvertedOpportunityId as source_opportunity_id,
    trim(LeadSource) as lead_source,
    Status as status,
    IsConverted as is_converted,
    coalesce(IsDeleted, false) or _is_deleted as is_deleted,
    ConvertedDate as converted_date,
    CreatedDate as created_at,
    QualifiedDate__c as qualified_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_salesforce', 'lead', ['Id']) }} as versions
