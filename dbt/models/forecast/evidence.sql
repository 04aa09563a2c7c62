-- One row per open deal and fact, at the newest lock: whether an event backs the fact (verified), only the record says so (claimed), or
-- nothing does (absent). Read from the inputs as they were frozen.

{{ config(pre_hook="{{ require_gate(ref('inputs')) }}") }}

{%- set facts = evidence_facts('i') %}

{% for fact, how in facts.items() %}
select
    i.opportunity_id,
    i.lock_date,
    '{{ fact }}' as fact,
    i.{{ fact }}_status as status,
    coalesce(
        case when not coalesce(',' || i.reconstructed_fields || ',' like '%,{{ how.fields[0] }},%', false) then {{ how.claim }} end,
        case when i.{{ fact }}_status <> 'absent' then 'role of a contact' end
    ) as claim,
    i.{{ fact }}_event_id as event_id,
    a.type as event_type,
    i.{{ fact }}_event_date as event_date,
    i.rep_id,
    i.team,
    i.segment,
    i.forecast_category,
    i.supported_category,
    i.amount_base
from {{ ref('inputs') }} as i
left join {{ ref('fct_activities') }} as a on i.{{ fact }}_event_id = a.activity_id
{{ 'union all' if not loop.last }}
{% endfor %}
