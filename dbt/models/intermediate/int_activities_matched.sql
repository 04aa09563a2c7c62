-- One row per logged activity that another system logged too: the record that leads. Two records are one activity when person, account
-- and kind agree, they start within minutes of each other (a setting), and a participant is shared. Gong leads, then Salesforce,
-- files and HubSpot. A record stands for at most one of each other system, the nearest in time.

{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ make_room('activity_id in (select activity_id from ' ~ ref('int_activities_touched') ~ ' where is_written)') }}"
) }}

{%- set told = ['activity_id', 'source_system', 'type', 'direction', 'duration_minutes', 'occurred_at'] %}
{%- set minutes = var('activity_match_minutes') %}
{%- set touched = ref('int_activities_touched') %}
{%- set logged -%}
    (select * from {{ touched if is_catching_up() else ref('int_activities_logged') }} where not is_deleted)
{%- endset %}

with deals as (

    select matched.source_system, matched.source_opportunity_id, matched.opportunity_id, deals.account_id
    from {{ ref('int_opportunities_matched') }} as matched
    inner join {{ ref('int_opportunities') }} as deals on matched.opportunity_id = deals.opportunity_id

),

recorded as (

    -- everybody on the other side of a recorded call, not only who stands for it, as each system that knows them writes them
    select distinct
        calls.activity_id,
        calls.occurred_at,
        users.rep_id,
        coalesce(accounts.account_id, deals.account_id) as account_id,
        known.source_system,
        known.source_contact_id
    from {{ logged }} as calls
    inner join {{ ref('int_users_matched') }} as users on users.source_system = 'gong' and calls.source_user_id = users.source_user_id
    inner join {{ ref('stg_gong__call_parties') }} as parties on calls.activity_id = parties.activity_id and parties.affiliation <> 'internal'
    inner join {{ ref('int_contacts_matched') }} as people on parties.email = people.email
    inner join {{ ref('int_contacts_matched') }} as known on people.contact_id = known.contact_id
    left join {{ ref('int_accounts_matched') }} as accounts
        on calls.crm_system = accounts.source_system and calls.source_account_id = accounts.source_account_id
    left join deals
        on calls.crm_system = deals.source_system and calls.source_opportunity_id = deals.source_opportunity_id
    where calls.source_system = 'gong'

),

shared_contacts as (

    -- only somebody whom two systems know can be on one activity twice
    select contacts.source_system, contacts.source_contact_id, contacts.contact_id
    from {{ ref('int_contacts_matched') }} as contacts
    inner join (
        select contact_id
        from {{ ref('int_contacts_matched') }}
        group by contact_id
        having count(distinct source_system) > 1
    ) as shared on contacts.contact_id = shared.contact_id

),

near_recorded as (

    select
        recorded.activity_id as leading_id,
        recorded.occurred_at as leading_at,
        recorded.rep_id,
        recorded.account_id,
        logged.crm_system,
        logged.source_user_id,
        logged.source_account_id,
        logged.source_opportunity_id,
        {{ columns_of('logged', told) }}
    from {{ logged }} as logged
    inner join recorded
        on logged.source_system = recorded.source_system
        and logged.source_contact_id = recorded.source_contact_id
        and logged.occurred_at >= recorded.occurred_at - interval '{{ minutes }}' minute
        and logged.occurred_at <= recorded.occurred_at + interval '{{ minutes }}' minute
    where logged.source_system <> 'gong' and logged.type in ('call', 'meeting', 'demo')

),

told_twice as (

    select
        shared_contacts.contact_id,
        users.rep_id,
        coalesce(accounts.account_id, deals.account_id, logged.source_account_id) as account_id,
        deals.opportunity_id,
        {{ system_rank('logged.source_system') }} as place,
        {{ columns_of('logged', told) }}
    from {{ logged }} as logged
    inner join shared_contacts
        on logged.source_system = shared_contacts.source_system and logged.source_contact_id = shared_contacts.source_contact_id
    inner join {{ ref('int_users_matched') }} as users
        on logged.source_system = users.source_system and logged.source_user_id = users.source_user_id
    left join {{ ref('int_accounts_matched') }} as accounts
        on logged.crm_system = accounts.source_system and logged.source_account_id = accounts.source_account_id
    left join deals
        on logged.crm_system = deals.source_system and logged.source_opportunity_id = deals.source_opportunity_id
    where logged.source_system <> 'gong'

),

pairs as (

    select copy.leading_id, 0 as leading_place, copy.leading_at, deals.opportunity_id, {{ columns_of('copy', told) }}
    from near_recorded as copy
    inner join {{ ref('int_users_matched') }} as users
        on copy.source_system = users.source_system and copy.source_user_id = users.source_user_id and copy.rep_id = users.rep_id
    left join {{ ref('int_accounts_matched') }} as accounts
        on copy.crm_system = accounts.source_system and copy.source_account_id = accounts.source_account_id
    left join deals
        on copy.crm_system = deals.source_system and copy.source_opportunity_id = deals.source_opportunity_id
    where copy.account_id = coalesce(accounts.account_id, deals.account_id, copy.source_account_id)
    union all
    select leader.activity_id, leader.place, leader.occurred_at, copy.opportunity_id, {{ columns_of('copy', told) }}
    from told_twice as copy
    inner join told_twice as leader
        on copy.contact_id = leader.contact_id
        and copy.rep_id = leader.rep_id
        and copy.account_id = leader.account_id
        and copy.type = leader.type
        and leader.place < copy.place
        and copy.occurred_at >= leader.occurred_at - interval '{{ minutes }}' minute
        and copy.occurred_at <= leader.occurred_at + interval '{{ minutes }}' minute

),

nearest as (

    select
        *,
        row_number() over (partition by activity_id, leading_place order by apart, leading_at, leading_id) as leading_choice,
        row_number() over (partition by leading_id, source_system order by apart, occurred_at, activity_id) as choice
    from (
        select *, case when occurred_at > leading_at then occurred_at - leading_at else leading_at - occurred_at end as apart
        from pairs
    ) as measured

),

chosen as (

    -- each one's nearest; of several systems the one that leads most
    select *
    from (
        select *, row_number() over (partition by activity_id order by leading_place) as preference
        from nearest
        where leading_choice = 1 and choice = 1
    ) as preferred
    where preference = 1

)

select
    chosen.activity_id,
    -- whom a leading record itself is a copy of leads both
    coalesce(farthest.leading_id, farther.leading_id, chosen.leading_id) as leading_activity_id,
    chosen.source_system,
    chosen.type,
    chosen.opportunity_id,
    chosen.direction,
    chosen.duration_minutes
from chosen
left join chosen as farther on chosen.leading_id = farther.activity_id
left join chosen as farthest on farther.leading_id = farthest.activity_id
{%- if is_catching_up() %}
where chosen.activity_id in (select activity_id from {{ touched }} where is_written)
{%- endif %}
