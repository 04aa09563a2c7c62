select
    Id as quota_id,
    QuotaOwnerId as source_user_id,
    ForecastingTypeId as forecasting_type_id,
    QuotaAmount as amount,
    upper(trim(CurrencyIsoCode)) as currency_code,
    StartDate as period_start_date,
    PeriodEndDate__c as period_end_date,
    _is_deleted as is_deleted,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load
from {{ latest_versions('raw_salesforce', 'forecasting_quota', ['Id']) }} as versions
