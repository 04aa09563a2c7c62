-- One row per user of a system: which person it is. One e-mail is one person; Salesforce leads, then files, HubSpot and Gong,
-- within a system the earliest user. Who has no e-mail, or is only named on a deal or as a manager, is a person of their own.

with users as (

    select 'salesforce' as source_system, source_user_id, email, user_name, manager_id, role, coalesce({{ start_of_business_date('start_date') }}, created_at) as started_at
    from {{ ref('stg_salesforce__users') }} where _is_latest
    union all
    select source_system, source_user_id, email, user_name, manager_id, role, {{ start_of_business_date('coalesce(start_date, hire_date)') }}
    from {{ ref('stg_files__users') }} where _is_latest
    union all
    select 'hubspot', source_user_id, email, user_name, null, null, created_at
    from {{ ref('stg_hubspot__owners') }} where _is_latest
    union all
    select 'gong', source_user_id, email, user_name, manager_id, null, created_at
    from {{ ref('stg_gong__users') }}

),

owners as (

    select 'salesforce' as source_system, source_user_id from {{ ref('stg_salesforce__opportunities') }}
    union
    select 'hubspot', source_user_id from {{ ref('stg_hubspot__deals') }}
    union
    select source_system, source_user_id from {{ ref('stg_files__opportunities') }}
    union
    select source_system, source_user_id from {{ ref('stg_files__user_assignments') }}
    union
    select source_system, source_user_id from {{ ref('stg_files__quotas') }}

),

managers as (

    select distinct source_system, manager_id as source_user_id from users
    union
    select source_system, manager_id from {{ ref('stg_files__user_assignments') }}

),

people as (

    select source_system, source_user_id, email, user_name, role, started_at, true as is_user from users
    union all
    select named.source_system, named.source_user_id, null, named.source_user_id, null, null, false
    from (select * from owners union select * from managers) as named
    left join users on named.source_system = users.source_system and named.source_user_id = users.source_user_id
    where named.source_user_id is not null and users.source_user_id is null

),

identities as (

    select
        people.*,
        coalesce(people.email, people.source_system || ':' || people.source_user_id) as identity,
        {{ system_rank('people.source_system') }} as system_rank,
        owners.source_user_id is not null as is_owner,
        managers.source_user_id is not null as is_manager
    from people
    left join owners on people.source_system = owners.source_system and people.source_user_id = owners.source_user_id
    left join managers on people.source_system = managers.source_system and people.source_user_id = managers.source_user_id

)

select
    source_system,
    source_user_id,
    first_value(source_user_id) over (partition by identity order by system_rank, source_system, started_at nulls last, source_user_id) as rep_id,
    first_value(source_system) over (partition by identity order by system_rank, source_system, started_at nulls last, source_user_id) as leading_source_system,
    user_name,
    email,
    coalesce(
        role,
        case
            when is_manager then 'manager'
            when is_owner or source_system not in ('salesforce', 'gong') then 'rep'
            else 'other'
        end
    ) as default_role,
    is_user,
    started_at
from identities
