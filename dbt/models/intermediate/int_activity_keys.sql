-- One row per person, contact, account and deal of a system: which one of the company's it is, and since which load. Which activities
-- have to be written anew because what they name has become another, is read from here.
{{ config(
    materialized='incremental', incremental_strategy='delete+insert', unique_key=['kind', 'source_system', 'source_id'],
    pre_hook="{{ make_room('false') }}"
) }}

with keys as (

    select 'user' as kind, source_system, source_user_id as source_id, rep_id as stands_for, cast(null as varchar) as belongs_to
    from {{ ref('int_users_matched') }}
    union all
    select 'contact', source_system, source_contact_id, contact_id, email
    from {{ ref('int_contacts_matched') }}
    union all
    select 'contact', 'gong', email, min(contact_id), null
    from {{ ref('int_contacts_matched') }}
    where email is not null
    group by email
    union all
    select 'account', source_system, source_account_id, account_id, null
    from {{ ref('int_accounts_matched') }}
    union all
    select 'opportunity', matched.source_system, matched.source_opportunity_id, matched.opportunity_id, deals.account_id
    from {{ ref('int_opportunities_matched') }} as matched
    inner join {{ ref('int_opportunities') }} as deals on matched.opportunity_id = deals.opportunity_id

)

select
    keys.kind,
    keys.source_system,
    keys.source_id,
    keys.stands_for,
    keys.belongs_to,
    {% if is_catching_up() -%}
    before.stands_for as stood_for,
    cast({{ var('built_to_load') }} as bigint) as added_after_load_id
from keys
left join {{ this }} as before
    on keys.kind = before.kind and keys.source_system = before.source_system and keys.source_id = before.source_id
where before.kind is null
    or keys.stands_for is distinct from before.stands_for
    or keys.belongs_to is distinct from before.belongs_to
    {%- else -%}
    cast(null as varchar) as stood_for,
    cast(null as bigint) as added_after_load_id
from keys
    {%- endif %}
