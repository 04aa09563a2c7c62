-- One row per open deal and lock that is not frozen yet: the deal as known then, what its forecast rests on, and the category that
-- supports. Thresholds: seeds/evidence_categories.csv.
{{ config(schema='intermediate', materialized='view') }}

{%- set facts = evidence_facts() %}

with bars as (

    select
        {%- for category in ['commit', 'best_case'] %}
        max(case when category = '{{ category }}' then minimum_verified end) as {{ category }}_minimum,
        max(case when category = '{{ category }}' then any_of end) as {{ category }}_any_of{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('evidence_categories') }}

),

counted as (

    select
        *,
        {% for fact in facts %}case when {{ fact }}_status = 'verified' then 1 else 0 end{{ ' + ' if not loop.last }}{% endfor %} as verified_count,
        {% for fact in facts %}case when {{ fact }}_status = 'claimed' then 1 else 0 end{{ ' + ' if not loop.last }}{% endfor %} as claimed_count
    from {{ ref('int_evidence_due') }}

)

select
    d.*,
    {%- for fact in facts %}
    e.{{ fact }}_status,
    e.{{ fact }}_event_id,
    e.{{ fact }}_event_date,
    {%- endfor %}
    cast(e.verified_count as integer) as verified_count,
    cast(e.claimed_count as integer) as claimed_count,
    case
        {%- for category in ['commit', 'best_case'] %}
        when e.verified_count >= b.{{ category }}_minimum and (
            b.{{ category }}_any_of is null
            {%- for fact in facts %}
            or e.{{ fact }}_status = 'verified' and {{ is_listed("'" ~ fact ~ "'", 'b.' ~ category ~ '_any_of') }}
            {%- endfor %}
        ) then '{{ category }}'
        {%- endfor %}
        else 'pipeline'
    end as supported_category
from {{ ref('int_deals_due') }} as d
inner join counted as e on d.opportunity_id = e.opportunity_id and d.lock_date = e.lock_date
cross join bars as b
