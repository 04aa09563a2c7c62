-- One row per activity; one that several systems logged counts once, told by the leading record and completed from the others.
{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail',
    pre_hook="{{ make_room('activity_id in (select activity_id from ' ~ ref('int_activities_touched') ~ ' where is_written)') }}"
) }}

{%- set touched = ref('int_activities_touched') %}
{%- set seen -%}
    (select * from {{ touched if is_catching_up() else ref('int_activities_logged') }} where not is_deleted)
{%- endset %}
{%- set written -%}
    (select * from {{ seen }} as seen {% if is_catching_up() %}where is_written{% endif %})
{%- endset %}
{%- set named %}
    left join {{ ref('int_users_matched') }} as users
        on logged.source_system = users.source_system and logged.source_user_id = users.source_user_id
    left join {{ ref('int_accounts_matched') }} as accounts
        on logged.crm_system = accounts.source_system and logged.source_account_id = accounts.source_account_id
    left join deals
        on logged.crm_system = deals.source_system and logged.source_opportunity_id = deals.source_opportunity_id
    left join contacts
        on logged.source_system = contacts.source_system and logged.source_contact_id = contacts.source_contact_id
{%- endset %}

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
        {% if is_catching_up() %}where leading_activity_id in (select activity_id from {{ touched }} where is_written){% endif %}
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

{%- for direction in ['outbound', 'inbound'] %}

{{ direction }}_emails as (

    -- whom it was written to or by; where no person is named, on which deal or with which account
    select
        logged.activity_id,
        logged.occurred_at,
        users.rep_id,
        coalesce(contacts.contact_id, deals.opportunity_id, accounts.account_id, logged.source_account_id) as other_side
    from {{ seen }} as logged
    {{- named }}
    where logged.type = 'email' and logged.direction = '{{ direction }}' and logged.is_completed

),
{%- endfor %}

answered as (

    select distinct outbound_emails.activity_id
    from outbound_emails
    inner join inbound_emails
        on outbound_emails.rep_id = inbound_emails.rep_id
        and outbound_emails.other_side = inbound_emails.other_side
        and inbound_emails.occurred_at > outbound_emails.occurred_at
        and inbound_emails.occurred_at <= outbound_emails.occurred_at + interval '{{ var("answer_days") }}' day

),

activities as (

    select
        logged.activity_id,
        logged.source_system,
        coalesce(told.type, logged.type) as type,
        coalesce(users.rep_id, 'unassigned') as rep_id,
        coalesce(accounts.account_id, deals.account_id, logged.source_account_id) as account_id,
        coalesce(deals.opportunity_id, told.opportunity_id) as opportunity_id,
        contacts.contact_id,
        coalesce(logged.direction, told.direction) as direction,
        logged.outcome,
        coalesce(logged.duration_minutes, told.duration_minutes) as duration_minutes,
        logged.is_completed and logged.occurred_at <= n.as_of_at as is_completed,
        logged.activity_id in (select activity_id from answered) as is_answered,
        case when told.leading_activity_id is null then logged.source_system
            else concat_ws(',', logged.source_system, told.first_source, told.second_source, told.third_source) end as sources,
        cast(coalesce(told.duplicate_count, 0) as integer) as duplicate_count,
        logged.occurred_at,
        logged.learned_at
    from {{ written }} as logged
    cross join {{ ref('int_as_of') }} as n
    {{- named }}
    left join told on logged.activity_id = told.leading_activity_id
    -- last: before the other joins, its condition makes DuckDB take millions for few and build hash tables on them
    left join {{ ref('int_activities_matched') }} as matched on logged.activity_id = matched.activity_id
    where matched.activity_id is null

)

select
    activity_id,
    source_system,
    sources,
    type,
    rep_id,
    account_id,
    opportunity_id,
    contact_id,
    direction,
    outcome,
    duration_minutes,
    is_completed,
    is_completed and ({{ is_two_way_by_itself('activities') }} or is_answered) as is_two_way,
    duplicate_count,
    {{ business_date('occurred_at') }} as activity_date,
    {{ week_start(business_date('occurred_at')) }} as week_start_date,
    occurred_at,
    learned_at
from activities
