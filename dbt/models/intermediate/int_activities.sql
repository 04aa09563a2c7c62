-- One row per activity; one that several systems logged counts once, told by the leading record and completed from the others.
{{ config(materialized='view') }}

with told as (

    select
        leading_activity_id,
        count(*) as duplicate_count,
        max(case when place = 1 then source_system end) as first_source,
        max(case when place = 2 then source_system end) as second_source,
        max(case when place = 3 then source_system end) as third_source,
        max(case when place = 1 then type end) as type,
        max(opportunity_id) as opportunity_id,
        max(direction) as direction,
        max(duration_minutes) as duration_minutes
    from (
        select *, row_number() over (partition by leading_activity_id order by {{ system_rank('source_system') }}, activity_id) as place
        from {{ ref('int_activities_matched') }}
    ) as copies
    group by leading_activity_id

),

deals as (

    select matched.source_system, matched.source_opportunity_id, matched.opportunity_id, deals.account_id
    from {{ ref('int_opportunities_matched') }} as matched
    inner join {{ ref('int_opportunities') }} as deals on matched.opportunity_id = deals.opportunity_id

),

contacts as (

    -- CRMs write contacts of their own, a recording writes addresses
    select source_system, source_contact_id, contact_id from {{ ref('int_contacts_matched') }}
    union all
    select 'gong', email, min(contact_id) from {{ ref('int_contacts_matched') }} where email is not null group by email

),

activities as (

    select
        logged.activity_id,
        logged.source_system,
        logged.type,
        users.rep_id,
        coalesce(accounts.account_id, deals.account_id, logged.source_account_id) as account_id,
        deals.opportunity_id,
        contacts.contact_id,
        logged.occurred_at,
        logged.duration_minutes,
        logged.direction,
        logged.outcome,
        logged.is_completed
    from {{ ref('int_activities_logged') }} as logged
    left join {{ ref('int_activities_matched') }} as matched on logged.activity_id = matched.activity_id
    left join {{ ref('int_users_matched') }} as users
        on logged.source_system = users.source_system and logged.source_user_id = users.source_user_id
    left join {{ ref('int_accounts_matched') }} as accounts
        on logged.crm_system = accounts.source_system and logged.source_account_id = accounts.source_account_id
    left join deals
        on logged.crm_system = deals.source_system and logged.source_opportunity_id = deals.source_opportunity_id
    left join contacts
        on logged.source_system = contacts.source_system and logged.source_contact_id = contacts.source_contact_id
    where matched.activity_id is null

)

select
    activities.activity_id,
    activities.source_system,
    coalesce(told.type, activities.type) as type,
    activities.rep_id,
    activities.account_id,
    coalesce(activities.opportunity_id, told.opportunity_id) as opportunity_id,
    activities.contact_id,
    activities.occurred_at,
    coalesce(activities.duration_minutes, told.duration_minutes) as duration_minutes,
    coalesce(activities.direction, told.direction) as direction,
    activities.outcome,
    activities.is_completed,
    activities.is_completed and (
        coalesce(told.type, activities.type) in ('meeting', 'demo')
        or (coalesce(told.type, activities.type) = 'call' and coalesce(activities.outcome = 'connected', false))
        or (activities.type = 'email' and coalesce(activities.direction = 'inbound', false))
    ) as is_two_way_candidate,
    case when told.leading_activity_id is null then activities.source_system
        else concat_ws(',', activities.source_system, told.first_source, told.second_source, told.third_source) end as sources,
    cast(coalesce(told.duplicate_count, 0) as integer) as duplicate_count
from activities
left join told on activities.activity_id = told.leading_activity_id
