-- One row per activity as a system logged it, in the words of this warehouse. Done is what the system says was done, and when it was
-- done: a task counts by its completion, never by its due date. What was deleted stays, marked, so that a later build finds what was built on it.
{{ config(
    materialized='incremental', incremental_strategy='delete+insert', unique_key='activity_id', pre_hook="{{ make_room('false') }}"
) }}

{%- set arrived, of_changed_calls = '', '' %}
{%- if is_catching_up() %}
    {%- set arrived = 'where _load_id > ' ~ var('built_to_load') %}
    {%- set of_changed_calls = 'and activity_id in (select activity_id from changed_calls)' %}
{%- endif %}

with changed_calls as (

    -- a recorded call is told by three tables
    {%- for table in ['calls', 'call_contexts', 'call_parties'] %}
    select activity_id from {{ ref('stg_gong__' ~ table) }} {{ arrived }}
    {{- ' union' if not loop.last }}
    {%- endfor %}

),

contexts as (

    -- the deal and the account a recorded call belongs to
    select
        activity_id,
        min(crm_system) as crm_system,
        min(case when object_type in ('opportunity', 'deal') then object_id end) as opportunity_id,
        min(case when object_type in ('account', 'company') then object_id end) as account_id
    from {{ ref('stg_gong__call_contexts') }}
    where true {{ of_changed_calls }}
    group by activity_id

),

guests as (

    -- who was on a recorded call from the other side; one of them stands for it
    select activity_id, min(email) as source_contact_id
    from {{ ref('stg_gong__call_parties') }}
    where affiliation <> 'internal' {{ of_changed_calls }}
    group by activity_id

),

logged as (

    select
        activity_id, 'salesforce' as source_system, 'salesforce' as crm_system, source_user_id, source_account_id, what_id as source_opportunity_id, source_contact_id,
        case when task_subtype = 'Call' then 'call' when task_subtype like '%Email' then 'email' else 'task' end as type,
        case
            when completed_at is null then created_at
            when task_subtype = 'Call' then {{ dbt.dateadd('second', '-coalesce(call_duration_seconds, 0)', 'completed_at') }}
            else completed_at
        end as occurred_at,
        cast(call_duration_seconds / 60.0 as decimal(18, 2)) as duration_minutes,
        case
            when lower(call_type) in ('inbound', 'outbound') then lower(call_type)
            when task_subtype like '%Email' then {{ email_direction_of('subject') }}
        end as direction,
        {{ call_outcome_of('call_disposition') }} as outcome,
        status = 'Completed' and completed_at is not null as is_completed,
        is_deleted,
        created_at,
        created_at as learned_at
    from {{ ref('stg_salesforce__tasks') }}
    {{ arrived }}
    union all
    select
        activity_id, 'salesforce', 'salesforce', source_user_id, source_account_id, what_id, source_contact_id,
        case when lower(event_type) like '%demo%' then 'demo' when lower(event_type) like '%call%' then 'call' else 'meeting' end,
        started_at,
        {{ minutes_between('started_at', 'ended_at') }},
        null,
        {{ meeting_outcome_of('outcome') }},
        coalesce({{ meeting_outcome_of('outcome') }}, 'completed') = 'completed',
        is_deleted,
        created_at,
        created_at
    from {{ ref('stg_salesforce__events') }}
    {{ arrived }}
    union all
    select
        activity_id, 'hubspot', 'hubspot', source_user_id, source_account_id, source_opportunity_id, source_contact_id,
        'call',
        scheduled_at,
        cast(duration_milliseconds / 60000.0 as decimal(18, 2)),
        lower(direction),
        case disposition
            when 'f240bbac-87c9-4f6e-bf70-924b57d47db7' then 'connected'
            when '73a0d17f-1163-4015-bdd5-ec830791da20' then 'no_answer'
            when 'b2cf5968-551e-4856-9783-52b3da59a7d0' then 'voicemail'
            when 'a4c4c377-d246-4b32-a13b-75a56a4cd0ff' then 'voicemail'
            when '9d9162e7-6cf3-4944-bf63-4dff82258764' then 'no_answer'
            when '17b47fee-58de-441e-a44c-c6300d46f273' then 'wrong_number'
            else {{ call_outcome_of('disposition') }}
        end,
        coalesce(upper(status), 'COMPLETED') = 'COMPLETED',
        is_archived or _is_deleted,
        created_at,
        created_at
    from {{ ref('stg_hubspot__engagement_calls') }}
    {{ arrived }}
    union all
    select
        activity_id, 'hubspot', 'hubspot', source_user_id, source_account_id, source_opportunity_id, source_contact_id,
        case when lower(meeting_type) like '%demo%' then 'demo' else 'meeting' end,
        coalesce(started_at, scheduled_at),
        {{ minutes_between('started_at', 'ended_at') }},
        null,
        {{ meeting_outcome_of('outcome') }},
        coalesce({{ meeting_outcome_of('outcome') }}, 'completed') = 'completed',
        is_archived or _is_deleted,
        created_at,
        created_at
    from {{ ref('stg_hubspot__engagement_meetings') }}
    {{ arrived }}
    union all
    select
        activity_id, 'hubspot', 'hubspot', source_user_id, source_account_id, source_opportunity_id, source_contact_id,
        'email',
        scheduled_at,
        null,
        case when upper(direction) = 'INCOMING_EMAIL' then 'inbound' else 'outbound' end,
        lower(status),
        coalesce(upper(status), 'SENT') not in ('FAILED', 'BOUNCED', 'SCHEDULED', 'SENDING'),
        is_archived or _is_deleted,
        created_at,
        created_at
    from {{ ref('stg_hubspot__engagement_emails') }}
    {{ arrived }}
    union all
    select
        activity_id, 'hubspot', 'hubspot', source_user_id, source_account_id, source_opportunity_id, source_contact_id,
        'task',
        coalesce(completed_at, created_at),
        null, null, null,
        upper(status) = 'COMPLETED' and completed_at is not null,
        is_archived or _is_deleted,
        created_at,
        created_at
    from {{ ref('stg_hubspot__engagement_tasks') }}
    {{ arrived }}
    union all
    select
        activity_id, source_system, source_system, source_user_id, source_account_id, source_opportunity_id, source_contact_id,
        type, occurred_at, duration_minutes, direction,
        case type when 'call' then {{ call_outcome_of('outcome') }} else {{ meeting_outcome_of('outcome') }} end,
        coalesce(is_completed, true),
        is_deleted,
        null,
        {{ learned_at('occurred_at') }}
    from {{ ref('stg_files__activities') }}
    {{ arrived }}
    union all
    -- a web conference is a meeting, or a demo where its title says so; every other recording is a call
    select
        calls.activity_id, 'gong', contexts.crm_system, calls.source_user_id, contexts.account_id, contexts.opportunity_id, guests.source_contact_id,
        case
            when calls.direction = 'conference' and lower(calls.subject) like '%demo%' then 'demo'
            when calls.direction = 'conference' then 'meeting'
            else 'call'
        end,
        coalesce(calls.started_at, calls.scheduled_at),
        cast(calls.duration_seconds / 60.0 as decimal(18, 2)),
        case when calls.direction in ('inbound', 'outbound') then calls.direction end,
        case
            when calls.started_at is null or coalesce(calls.duration_seconds, 0) = 0 then null
            when calls.direction = 'conference' then 'completed'
            else 'connected'
        end,
        calls.started_at is not null and coalesce(calls.duration_seconds, 0) > 0,
        calls.is_deleted or coalesce(calls.scope, 'external') = 'internal',
        null,
        null
    from {{ ref('stg_gong__calls') }} as calls
    left join contexts on calls.activity_id = contexts.activity_id
    left join guests on calls.activity_id = guests.activity_id
    where true {{ of_changed_calls | replace('and activity_id', 'and calls.activity_id') }}

)

select
    logged.activity_id,
    logged.source_system,
    logged.crm_system,
    logged.type,
    logged.source_user_id,
    logged.source_account_id,
    logged.source_opportunity_id,
    logged.source_contact_id,
    logged.occurred_at,
    logged.duration_minutes,
    logged.direction,
    logged.outcome,
    logged.is_completed,
    logged.is_deleted,
    greatest(logged.occurred_at, coalesce(logged.learned_at, logged.occurred_at)) as learned_at,
    {% if is_catching_up() %}before.source_user_id{% else %}cast(null as varchar){% endif %} as source_user_id_before,
    {% if is_catching_up() %}before.occurred_at{% else %}cast(null as timestamp){% endif %} as occurred_at_before,
    cast({{ var('built_to_load') if is_catching_up() else 'null' }} as bigint) as added_after_load_id
from logged
{% if is_catching_up() %}left join {{ this }} as before on logged.activity_id = before.activity_id{% endif %}
-- what lies after a set as_of is known only where it was put down before
where logged.occurred_at <= {{ as_of_limit() }} or logged.created_at <= {{ as_of_limit() }}
