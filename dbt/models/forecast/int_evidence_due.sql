-- One row per open deal and lock that is not frozen yet: for each of the six facts what the record claims, and the newest event that
-- verifies it. Both as known at the lock; a claim that was back-dated was not known, so it is none. Rules: seeds/evidence_rules.csv.
{{ config(schema='intermediate') }}

{%- set facts = evidence_facts() %}

with rules as (

    {#- one row, so that every activity meets all rules at once #}
    select
        {%- for fact in facts %}
        {%- for column in ['contact_roles', 'activity_types', 'two_way_only', 'within_days', 'needs_claim'] %}
        max(case when fact = '{{ fact }}' then {{ 'cast(' ~ column ~ ' as integer)' if column in ['two_way_only', 'needs_claim'] else column }} end) as {{ fact }}_{{ column }},
        {%- endfor %}
        {%- endfor %}
        count(*) as rule_count
    from {{ ref('evidence_rules') }}

),

roles as (

    select opportunity_id, contact_id, replace(lower(trim(role)), '_', ' ') as role, min(learned_at) as learned_at
    from {{ ref('int_opportunity_contacts') }}
    where learned_at is not null and opportunity_id in (select opportunity_id from {{ ref('int_deals_due') }})
    group by opportunity_id, contact_id, replace(lower(trim(role)), '_', ' ')

),

activities as (

    select a.opportunity_id, a.contact_id, a.activity_id, a.activity_date, a.type, a.learned_at, {{ is_two_way_by_itself('a') }} as is_two_way
    from {{ ref('fct_activities') }} as a
    where a.is_completed and a.opportunity_id in (select opportunity_id from {{ ref('int_deals_due') }})

),

known as (

    -- what came to be known of a deal on a day: an activity, who is in which role, an activity with somebody in a role; and its locks
    select opportunity_id, {{ business_date('learned_at') }} as known_date, null as role, activity_id, activity_date, type, is_two_way, cast(null as date) as lock_date
    from activities
    union all
    select opportunity_id, {{ business_date('learned_at') }}, role, null, null, null, null, null
    from roles
    union all
    select a.opportunity_id, {{ business_date('greatest(a.learned_at, r.learned_at)') }}, r.role, a.activity_id, a.activity_date, a.type, a.is_two_way, null
    from activities as a
    inner join roles as r on a.opportunity_id = r.opportunity_id and a.contact_id = r.contact_id
    union all
    select opportunity_id, lock_date, null, null, null, null, null, lock_date
    from {{ ref('int_deals_due') }}

),

so_far as (

    -- an event is written date first, so that the newest is the greatest
    select * from (
        select
            k.opportunity_id,
            k.lock_date
            {%- for fact in facts %},
            max(case
                when {{ is_listed('k.type', 'r.' ~ fact ~ '_activity_types') }} and (k.is_two_way or r.{{ fact }}_two_way_only = 0)
                    and (k.role is null and r.{{ fact }}_contact_roles is null or {{ is_listed('k.role', 'r.' ~ fact ~ '_contact_roles') }})
                    then cast(k.activity_date as varchar) || ' ' || k.activity_id
            end) over to_date as {{ fact }}_event,
            max(case when k.activity_id is null and {{ is_listed('k.role', 'r.' ~ fact ~ '_contact_roles') }} then k.role end) over to_date as {{ fact }}_role
            {%- endfor %}
        from known as k
        cross join rules as r
        window to_date as (partition by k.opportunity_id order by k.known_date range between unbounded preceding and current row)
    ) as told
    where lock_date is not null

),

claimed as (

    select
        s.opportunity_id,
        s.lock_date
        {%- for fact, how in facts.items() %},
        case when {% for field in how.fields %}not coalesce(',' || deals.reconstructed_fields || ',' like '%,{{ field }},%', false){{ ' and ' if not loop.last }}{% endfor %}
            then {{ how.claim }}
        end as {{ fact }}_field,
        s.{{ fact }}_role,
        case when cast(substring(s.{{ fact }}_event, 1, 10) as date) > {{ plus_days('s.lock_date', '-r.' ~ fact ~ '_within_days') }} then s.{{ fact }}_event end as {{ fact }}_event,
        r.{{ fact }}_needs_claim
        {%- endfor %}
    from so_far as s
    inner join {{ ref('int_deals_due') }} as deals on s.opportunity_id = deals.opportunity_id and s.lock_date = deals.lock_date
    cross join rules as r

)

select
    opportunity_id,
    lock_date
    {%- for fact in facts %},
    case
        when {{ fact }}_event is not null and ({{ fact }}_needs_claim = 0 or coalesce({{ fact }}_field, {{ fact }}_role) is not null) then 'verified'
        when coalesce({{ fact }}_field, {{ fact }}_role) is not null then 'claimed'
        else 'absent'
    end as {{ fact }}_status,
    coalesce({{ fact }}_field, {{ fact }}_role) as {{ fact }}_claim,
    case when {{ fact }}_needs_claim = 0 or coalesce({{ fact }}_field, {{ fact }}_role) is not null then substring({{ fact }}_event, 12) end as {{ fact }}_event_id,
    case when {{ fact }}_needs_claim = 0 or coalesce({{ fact }}_field, {{ fact }}_role) is not null then cast(substring({{ fact }}_event, 1, 10) as date) end as {{ fact }}_event_date
    {%- endfor %}
from claimed
