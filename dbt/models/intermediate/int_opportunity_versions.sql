-- One row per deal and version of its record, in the words of this warehouse; of a deal that several systems know, the leading one's.
{{ catch_up_by_deal() }}

with records as (

    select
        'salesforce' as source_system, source_opportunity_id, source_user_id, source_account_id, campaign_id, merged_into_id, external_id,
        opportunity_name, 'salesforce/default' as pipeline, stage, type, lead_source, product, forecast_category,
        amount, list_amount, discount_rate, currency_code, probability, next_step, champion, economic_buyer, budget_confirmed, decision_timeline,
        competitor, loss_reason, is_closed, is_won, is_deleted, close_date, next_step_date, created_at, closed_at, last_modified_at,
        _load_id, _version, _is_deleted, _extracted_at, _first_extracted_at, _is_from_first_load, _is_latest
    from (select *, cast(null as varchar) as external_id, cast(null as timestamp) as closed_at from {{ ref('stg_salesforce__opportunities') }}) as salesforce
    union all
    select
        source_system, source_opportunity_id, source_user_id, source_account_id, campaign_id, merged_into_id, external_id,
        opportunity_name, pipeline, stage, type, lead_source, product, forecast_category,
        amount, list_amount, discount_rate, currency_code, probability, next_step, champion, economic_buyer, budget_confirmed, decision_timeline,
        competitor, loss_reason, is_closed, is_won, is_deleted, close_date, next_step_date, created_at, closed_at, last_modified_at,
        _load_id, _version, _is_deleted, _extracted_at, _first_extracted_at, _is_from_first_load, _is_latest
    from {{ ref('stg_files__opportunities') }}
    union all
    select
        'hubspot', source_opportunity_id, source_user_id, null, campaign_id, null, external_id,
        opportunity_name, pipeline, stage, type, lead_source, product, forecast_category,
        amount, list_amount, discount_rate, currency_code, probability, next_step, champion, economic_buyer, budget_confirmed, decision_timeline,
        competitor, loss_reason, is_closed, is_won, is_deleted, close_date, next_step_date, created_at, null, last_modified_at,
        _load_id, _version, _is_deleted, _extracted_at, _first_extracted_at, _is_from_first_load, _is_latest
    from {{ ref('stg_hubspot__deals') }}

),

first_stamps as (

    select source_system, source_opportunity_id, min(changed_at) as changed_at
    from {{ ref('stg_files__opportunity_history') }}
    group by source_system, source_opportunity_id

),

archived_deals as (
    select source_opportunity_id from {{ ref('stg_hubspot__deals') }} where _is_latest and is_deleted
),
deal_companies as (
    -- an archived deal loses its associations in HubSpot: those it had last still say whose it was
    select source_opportunity_id, source_account_id
    from (
        select
            companies.source_opportunity_id,
            companies.source_account_id,
            row_number() over (
                partition by companies.source_opportunity_id
                order by companies.is_deleted, companies.is_primary desc, companies.source_account_id
            ) as preference
        from {{ ref('stg_hubspot__deal_companies') }} as companies
        left join archived_deals on companies.source_opportunity_id = archived_deals.source_opportunity_id
        where not companies.is_deleted or archived_deals.source_opportunity_id is not null
    ) as preferred
    where preference = 1
),
merges as (

    select source_opportunity_id as id, merged_into_id from {{ ref('stg_hubspot__merged_deals') }}
    union
    select source_opportunity_id, merged_into_id from records
    where _is_latest and merged_into_id is not null and merged_into_id <> source_opportunity_id

),

survivors as (

    select * from {{ survivors('merges') }} as chains

)

select
    deals.opportunity_id,
    records.source_system,
    records.source_opportunity_id,
    records._version as version_number,
    records._extracted_at = records._first_extracted_at as is_first,
    records._is_latest as is_latest,
    records._is_deleted as is_gone,
    records._is_from_first_load as is_from_first_load,
    least(
        coalesce(
            records.created_at,
            first_stamps.changed_at,
            records.closed_at,
            case when records.is_closed or records.is_won then {{ start_of_business_date('records.close_date') }} end,
            records._first_extracted_at
        ),
        records._first_extracted_at
    ) as created_at,
    records._extracted_at as extracted_at,
    records.last_modified_at,
    records.opportunity_name,
    records.type,
    records.lead_source,
    records.campaign_id,
    records.product,
    records.external_id,
    records.pipeline,
    records.stage,
    records.amount,
    records.list_amount,
    records.discount_rate,
    coalesce(records.currency_code, systems.only_currency_code) as currency_code,
    records.close_date,
    coalesce(owners.rep_id, records.source_user_id) as owner_id,
    coalesce(accounts.account_id, records.source_account_id, deal_companies.source_account_id) as account_id,
    records.forecast_category,
    cast(records.probability / systems.probability_scale as decimal(9, 4)) as probability,
    records.next_step,
    records.next_step_date,
    records.champion,
    records.economic_buyer,
    records.budget_confirmed,
    records.decision_timeline,
    records.competitor,
    records.loss_reason,
    records.is_deleted,
    case when records.merged_into_id is not null then coalesce(survivor_deals.opportunity_id, survivors.survivor_id, records.merged_into_id) end as merged_into_id,
    case
        when records.is_won then nullif('won', stages.outcome)
        when records.is_closed = false then nullif('open', stages.outcome)
        when records.is_closed and (records.is_won = false or coalesce(stages.outcome, 'open') = 'open') then nullif('lost', stages.outcome)
        when records.is_won = false and stages.outcome = 'won' then case when records.closed_at is null then 'open' else 'lost' end
    end as outcome_flag,
    records.closed_at,
    stages.outcome as stage_outcome
from records
inner join {{ ref('int_opportunities_matched') }} as deals
    on records.source_system = deals.source_system and records.source_opportunity_id = deals.source_opportunity_id and deals.is_leading
inner join {{ ref('int_opportunity_systems') }} as systems on records.source_system = systems.source_system
left join first_stamps on records.source_system = first_stamps.source_system and records.source_opportunity_id = first_stamps.source_opportunity_id
left join deal_companies on records.source_opportunity_id = deal_companies.source_opportunity_id
left join {{ ref('int_users_matched') }} as owners
    on records.source_system = owners.source_system and records.source_user_id = owners.source_user_id
left join {{ ref('int_accounts_matched') }} as accounts
    on records.source_system = accounts.source_system
    and coalesce(records.source_account_id, deal_companies.source_account_id) = accounts.source_account_id
left join survivors on records.source_opportunity_id = survivors.id
left join (select distinct source_opportunity_id, opportunity_id from {{ ref('int_opportunities_matched') }}) as survivor_deals
    on survivors.survivor_id = survivor_deals.source_opportunity_id
left join {{ ref('int_stages') }} as stages
    on records.source_system = stages.source_system
    and records.pipeline = stages.pipeline
    and records.stage = stages.stage
    and records._extracted_at >= stages.valid_from_at
    and records._extracted_at < coalesce(stages.valid_to_at, timestamp '9999-12-31 00:00:00')
where {{ is_built_now('deals.opportunity_id') }}
