{# The raw schema in which the system that leads for a record lands. #}
{% macro raw_schema_of(source_system) -%}
    case when {{ source_system }} in ('salesforce', 'hubspot') then 'raw_' || {{ source_system }} else 'raw_files' end
{%- endmacro %}
