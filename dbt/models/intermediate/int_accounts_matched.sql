-- One row per account of a system: which account it is. Merged accounts stand as their survivor; one web domain is one account.
-- Salesforce leads, then files and HubSpot. A domain on more accounts of one system than a company has entries for (five) is a
-- provider's, such as a mail host's, and identifies nobody.

with accounts as (

    select 'salesforce' as source_system, source_account_id, domain, merged_into_id, is_deleted, created_at from {{ ref('stg_salesforce__accounts') }}
    union all
    select source_system, source_account_id, domain, null, is_deleted, created_at from {{ ref('stg_files__accounts') }}
    union all
    select 'hubspot', source_account_id, domain, merged_into_id, is_deleted, created_at from {{ ref('stg_hubspot__companies') }}

),

merges as (

    select source_account_id as id, merged_into_id from accounts
    where merged_into_id is not null and merged_into_id <> source_account_id

),

survivors as (

    select * from {{ survivors('merges') }} as chains

),

surviving as (

    select accounts.*, coalesce(survivors.survivor_id, accounts.source_account_id) as survivor_id
    from accounts
    left join survivors on accounts.source_account_id = survivors.id

),

shared_domains as (

    select source_system, domain
    from surviving
    where domain is not null and survivor_id = source_account_id
    group by source_system, domain
    having count(*) > 5

),

identified as (

    select
        surviving.source_system,
        surviving.survivor_id,
        surviving.is_deleted,
        surviving.created_at,
        coalesce(
            case when surviving.domain not in (select domain from shared_domains) then surviving.domain end,
            surviving.source_system || ':' || surviving.survivor_id
        ) as identity
    from surviving
    where surviving.survivor_id = surviving.source_account_id

),

led as (

    select
        *,
        first_value(survivor_id) over (
            partition by identity
            order by is_deleted, {{ system_rank('source_system') }}, source_system, created_at nulls last, survivor_id
        ) as account_id
    from identified

)

select
    surviving.source_system,
    surviving.source_account_id,
    coalesce(led.account_id, surviving.survivor_id) as account_id
from surviving
left join led on surviving.source_system = led.source_system and surviving.survivor_id = led.survivor_id
