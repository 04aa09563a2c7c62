select
    Id as forecasting_item_id,
    OwnerId as source_user_id,
    {{ forecast_scope_of('Scope') }} as scope,
    CommitAmount as commit_amount,
    BestCaseAmount as best_case_amount,
    PipelineAmount as pipeline_amount,
    upper(trim(CurrencyIsoCode)) as currency_code,
    PeriodStartDate as period_start_date,
    greatest(LastModifiedDate, SystemModstamp) as submitted_at,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load,
    _is_latest
from {{ all_versions('raw_salesforce', 'forecasting_item', ['Id']) }} as versions
