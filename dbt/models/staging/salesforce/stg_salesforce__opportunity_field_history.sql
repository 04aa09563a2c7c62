select
    Id as history_id,
    OpportunityId as source_opportunity_id,
    Field as source_field,
    OldValue as old_value,
    NewValue as new_value,
    CreatedDate as changed_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_salesforce', 'opportunity_field_history', ['Id']) }} as versions
