-- One row per account as it is now, told by the system that leads.

with accounts as (

    select 'salesforce' as source_system, source_account_id, account_name, domain, industry, segment, region, employee_count, source_user_id, source_parent_id, is_deleted, created_at
    from {{ ref('stg_salesforce__accounts') }}
    union all
    select source_system, source_account_id, account_name, domain, industry, segment, region, employee_count, source_user_id, source_parent_id, is_deleted, created_at
    from {{ ref('stg_files__accounts') }}
    union all
    select 'hubspot', source_account_id, account_name, domain, industry, segment, region, employee_count, source_user_id, source_parent_id, is_deleted, created_at
    from {{ ref('stg_hubspot__companies') }}

)

select
    matched.account_id,
    accounts.account_name,
    accounts.domain,
    accounts.industry,
    accounts.segment,
    accounts.region,
    accounts.employee_count,
    coalesce(owners.rep_id, accounts.source_user_id) as owner_id,
    nullif(coalesce(parents.account_id, accounts.source_parent_id), matched.account_id) as parent_id,
    accounts.created_at,
    accounts.is_deleted,
    accounts.source_system
from accounts
inner join {{ ref('int_accounts_matched') }} as matched
    on accounts.source_system = matched.source_system
    and accounts.source_account_id = matched.source_account_id
    and matched.account_id = matched.source_account_id
left join {{ ref('int_accounts_matched') }} as parents
    on accounts.source_system = parents.source_system and accounts.source_parent_id = parents.source_account_id
left join {{ ref('int_users_matched') }} as owners
    on accounts.source_system = owners.source_system and accounts.source_user_id = owners.source_user_id
