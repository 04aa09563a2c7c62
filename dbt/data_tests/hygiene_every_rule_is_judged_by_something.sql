-- Protects hygiene.rules: a seed row whose measure or file nobody knows would find nothing and look like a clean company.
{%- set files = rule_models() %}
select rule_id, measure, comparison, threshold
from {{ ref('rules') }}
where case
    when measure is null then rule_id not in ({% for file in files %}'{{ file.name }}', {% endfor %}'')
    else
        measure not in ({% for measure in deal_measures() %}'{{ measure }}'{{ ', ' if not loop.last }}{% endfor %})
        or comparison is null
        or threshold is null
end
