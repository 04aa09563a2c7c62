-- One row of all that a deal's history is read by besides its own records, and since which load it says so: people, accounts and deals by
-- their keys, systems, stages, teams and rates. Which deals have to be written anew although nothing new came of them, is read from here.
{{ config(
    materialized='incremental', incremental_strategy='delete+insert', unique_key=['kind', 'source_system', 'source_id', 'since'],
    pre_hook="{{ make_room('false') }}"
) }}

with keys as (

    select 'user' as kind, source_system, source_user_id as source_id, '' as since, rep_id as stands_for
    from {{ ref('int_users_matched') }}
    union all
    select 'account', source_system, source_account_id, '', account_id
    from {{ ref('int_accounts_matched') }}
    union all
    select 'opportunity', source_system, source_opportunity_id, '', opportunity_id
    from {{ ref('int_opportunities_matched') }}
    union all
    select 'led opportunity', source_system, source_opportunity_id, '', opportunity_id
    from {{ ref('int_opportunities_matched') }}
    where is_leading
    union all
    select
        'system', source_system, '', '',
        {{ as_one_text(['probability_scale', 'only_currency_code', 'told_probability_scale']) }}
        {%- for field in opportunity_fields() %} || case when tracks_{{ field }} then '/{{ field }}' else '' end {%- endfor %}
    from {{ ref('int_opportunity_systems') }}
    union all
    select
        'stage', source_system, {{ as_one_text(['pipeline', 'stage']) }}, cast(valid_from_at as varchar),
        {{ as_one_text(['stage_order', 'is_pipeline', 'outcome', 'valid_to_at']) }}
    from {{ ref('int_stages') }}
    union all
    select 'rep', '', rep_id, cast(valid_from_date as varchar), {{ as_one_text(['team', 'segment', 'valid_to_date']) }}
    from {{ ref('int_rep_attributes') }}
    union all
    select 'currency', 'plan', currency_code, cast(valid_from_date as varchar), {{ as_one_text(['rate_to_base', 'valid_to_date']) }}
    from {{ ref('int_valuation_rates') }}
    union all
    select 'currency', 'dated', currency_code, cast(valid_from_date as varchar), {{ as_one_text(['rate_to_base', 'valid_to_date']) }}
    from {{ ref('int_currency_rates') }}
    where rate_type = 'dated'

)

{% if is_catching_up() -%}
select
    coalesce(keys.kind, before.kind) as kind,
    coalesce(keys.source_system, before.source_system) as source_system,
    coalesce(keys.source_id, before.source_id) as source_id,
    coalesce(keys.since, before.since) as since,
    keys.stands_for,
    before.stands_for as stood_for,
    cast({{ var('built_to_load') }} as bigint) as added_after_load_id
from keys
full outer join {{ this }} as before
    on keys.kind = before.kind and keys.source_system = before.source_system
    and keys.source_id = before.source_id and keys.since = before.since
where keys.stands_for is distinct from before.stands_for
{%- else -%}
select kind, source_system, source_id, since, stands_for, cast(null as varchar) as stood_for, cast(null as bigint) as added_after_load_id
from keys
{%- endif %}
