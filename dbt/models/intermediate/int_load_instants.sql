-- One row per raw schema and instant at which it was read by an accepted load; a load's first and last, where it carries several.

{% for name in ['salesforce', 'hubspot', 'gong', 'files'] -%}
select 'raw_{{ name }}' as raw_schema, first_extracted_at as extracted_at
from {{ ref('stg_' ~ name ~ '__loads') }}
union
select 'raw_{{ name }}', last_extracted_at
from {{ ref('stg_' ~ name ~ '__loads') }}
{{ 'union' if not loop.last }}
{% endfor %}
