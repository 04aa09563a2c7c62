-- One row per logged activity that a build which catches up has to look at: those of a person's days near anything new, changed or now
-- standing for somebody else, which are written anew, and a margin around them. Empty where
-- everything is written anew.

{%- set names = {'user': 'source_user_id', 'contact': 'source_contact_id', 'account': 'source_account_id', 'opportunity': 'source_opportunity_id'} %}
{%- set system = {'user': 'source_system', 'contact': 'source_system', 'account': 'crm_system', 'opportunity': 'crm_system'} %}
{%- set answer_days = var('answer_days') %}
{%- set logged, keys, users = ref('int_activities_logged'), ref('int_activity_keys'), ref('int_users_matched') %}

with changed as (

    {% if var('built_to_load') | string != '' -%}
    select source_system, source_user_id, occurred_at
    from {{ logged }}
    -- what lay ahead may have taken place
    where added_after_load_id = {{ var('built_to_load') }} or occurred_at > cast('{{ var("built_to_at") }}' as timestamp)
    union
    select source_system, source_user_id_before, occurred_at_before
    from {{ logged }}
    where added_after_load_id = {{ var('built_to_load') }} and occurred_at_before is not null
    {%- for kind, name in names.items() %}
    union
    select logged.source_system, logged.source_user_id, logged.occurred_at
    from {{ logged }} as logged
    inner join {{ keys }} as keys
        on keys.kind = '{{ kind }}' and logged.{{ system[kind] }} = keys.source_system and logged.{{ name }} = keys.source_id
    where keys.added_after_load_id = {{ var('built_to_load') }}
    {%- endfor %}
    {%- else -%}
    select source_system, source_user_id, occurred_at from {{ logged }} where false
    {%- endif %}

),

people as (

    select source_system, source_user_id, rep_id from {{ users }}
    union
    select source_system, source_id, stood_for from {{ keys }} where kind = 'user' and stood_for is not null

),

changed_days as (

    select distinct coalesce(people.rep_id, changed.source_user_id, '') as person, cast(changed.occurred_at as date) as day
    from changed
    left join people on changed.source_system = people.source_system and changed.source_user_id = people.source_user_id

),

days as (

    -- an e-mail is answered days later, a copy may lie past midnight
    select person, day, max(is_written) as is_written
    from (
        select
            changed_days.person,
            {{ plus_days('changed_days.day', 'numbers.number - ' ~ (answer_days + 2)) }} as day,
            case when numbers.number between 1 and {{ answer_days + 3 }} then 1 else 0 end as is_written
        from changed_days
        cross join {{ number_rows(2 * answer_days + 4) }} as numbers
    ) as near
    group by person, day

)

select logged.*, touched.is_written
from {{ logged }} as logged
inner join (
    select near.activity_id, max(days.is_written) = 1 as is_written
    from {{ logged }} as near
    left join people on near.source_system = people.source_system and near.source_user_id = people.source_user_id
    inner join days
        on coalesce(people.rep_id, near.source_user_id, '') = days.person
        and cast(near.occurred_at as date) = days.day
    group by near.activity_id
) as touched on logged.activity_id = touched.activity_id
