-- One row per open deal and lock that is not frozen yet: for each of the six facts what the record claims, and the newest event that
-- verifies it. Both as known at the lock; a claim that was back-dated was not known, so it is none. Rules: seeds/evidence_rules.csv.
{{ config(schema='intermediate') }}

{%- set facts = evidence_facts() %}

with rules as (

    {#- one row: all rules side by side #}
    select
        {%- for fact in facts %}
        {%- for column in ['contact_roles', 'activity_types', 'two_way_only', 'within_days', 'needs_claim'] %}
        max(case when fact = '{{ fact }}' then {{ 'cast(' ~ column ~ ' as integer)' if column in ['two_way_only', 'needs_claim'] else column }} end) as {{ fact }}_{{ column }},
        {%- endfor %}
        {%- endfor %}
        count(*) as rule_count
    from {{ ref('evidence_rules') }}

),

due as (

    -- what came to be known after the deal's lock before, and until its lock, is first known at the lock
    select
        opportunity_id,
        lock_date,
        coalesce(lag(lock_date) over (partition by opportunity_id order by lock_date), date '1900-01-01') as after_date
    from {{ ref('int_deals_due') }}

),

roles as (

    select opportunity_id, contact_id, replace(lower(trim(role)), '_', ' ') as role, {{ business_date('min(learned_at)') }} as known_date
    from {{ ref('int_opportunity_contacts') }}
    where learned_at is not null and opportunity_id in (select opportunity_id from due)
    group by opportunity_id, contact_id, replace(lower(trim(role)), '_', ' ')

),

kinds as (

    -- which facts an activity verifies, by its type, by whether they took part, and by their role, which is none for an activity as such:
    -- a few dozen rows, so that no activity is compared with a list
    select *
    from (
        select
            t.type,
            w.is_two_way,
            o.role
            {%- for fact in facts %},
            coalesce(
                {{ is_listed('t.type', 'r.' ~ fact ~ '_activity_types') }} and (w.is_two_way or r.{{ fact }}_two_way_only = 0)
                and (o.role is null and r.{{ fact }}_contact_roles is null or {{ is_listed('o.role', 'r.' ~ fact ~ '_contact_roles') }}),
                false
            ) as is_{{ fact }}
            {%- endfor %}
        from (select distinct type from {{ ref('fct_activities') }}) as t
        cross join (select true as is_two_way union all select false) as w
        cross join (select distinct role from roles union all select null) as o
        cross join rules as r
    ) as judged
    where {% for fact in facts %}is_{{ fact }}{{ ' or ' if not loop.last }}{% endfor %}

),

activities as (

    select
        a.opportunity_id, a.type, {{ is_two_way_by_itself('a') }} as is_two_way, r.role,
        {{ business_date('a.learned_at') }} as known_date, r.known_date as role_known_date,
        cast(a.activity_date as varchar) || ' ' || a.activity_id as event  -- date first, so that the newest is the greatest
    from {{ ref('fct_activities') }} as a
    left join roles as r on a.opportunity_id = r.opportunity_id and a.contact_id = r.contact_id
    where a.is_completed and a.opportunity_id in (select opportunity_id from due)

),

events as (

    -- what verifies a fact and when it came to be known: an activity, an activity with somebody whose role is known too
    select
        a.opportunity_id,
        case when k.role is null then a.known_date else greatest(a.known_date, a.role_known_date) end as known_date,
        a.event
        {%- for fact in facts %},
        k.is_{{ fact }}
        {%- endfor %}
    from activities as a
    inner join kinds as k on a.type = k.type and a.is_two_way = k.is_two_way and (k.role is null or k.role = a.role)

),

verified as (

    -- the newest event of each fact among those first known at a lock of the deal
    select
        e.opportunity_id,
        d.lock_date
        {%- for fact in facts %},
        max(case when e.is_{{ fact }} then e.event end) as {{ fact }}_event
        {%- endfor %}
    from events as e
    inner join due as d on e.opportunity_id = d.opportunity_id and e.known_date > d.after_date and e.known_date <= d.lock_date
    group by e.opportunity_id, d.lock_date

),

filled as (

    -- the roles first known at a lock of the deal that a fact asks for
    select
        o.opportunity_id,
        d.lock_date
        {%- for fact in facts %},
        max(case when {{ is_listed('o.role', 'r.' ~ fact ~ '_contact_roles') }} then o.role end) as {{ fact }}_role
        {%- endfor %}
    from roles as o
    inner join due as d on o.opportunity_id = d.opportunity_id and o.known_date > d.after_date and o.known_date <= d.lock_date
    cross join rules as r
    group by o.opportunity_id, d.lock_date

),

so_far as (

    select
        d.opportunity_id,
        d.lock_date
        {%- for fact in facts %},
        max(v.{{ fact }}_event) over to_date as {{ fact }}_event,
        max(f.{{ fact }}_role) over to_date as {{ fact }}_role
        {%- endfor %}
    from due as d
    left join verified as v on d.opportunity_id = v.opportunity_id and d.lock_date = v.lock_date
    left join filled as f on d.opportunity_id = f.opportunity_id and d.lock_date = f.lock_date
    window to_date as (partition by d.opportunity_id order by d.lock_date)

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
