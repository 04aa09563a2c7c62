{# Values as histories write them: text, in whatever form the system keeps it. #}

{# Text of a field's value in the form change streams compare: numbers with the field's scale, ISO dates, true and false. #}
{% macro canonical_text(value, type) -%}
    {%- if type == 'varchar' -%} nullif({{ value }}, '')
    {%- elif type == 'date' -%} cast({{ date_of_text(value) }} as varchar)
    {%- else -%} cast({{ safe_cast(value, type) }} as varchar)
    {%- endif -%}
{%- endmacro %}

{# The instant in a text: ISO, or milliseconds since 1970. #}
{% macro instant_of_text(value) -%}
    case when {{ value }} like '%-%' then {{ safe_cast(value, 'timestamp') }} else {{ instant_of_milliseconds(safe_cast(value, 'bigint')) }} end
{%- endmacro %}

{% macro instant_of_milliseconds(milliseconds) -%} {{ adapter.dispatch('instant_of_milliseconds', 'sales_management')(milliseconds) }} {%- endmacro %}
{% macro duckdb__instant_of_milliseconds(milliseconds) -%} epoch_ms({{ milliseconds }}) {%- endmacro %}
{% macro spark__instant_of_milliseconds(milliseconds) -%} timestamp_millis({{ milliseconds }}) {%- endmacro %}

{# The date in a text: its first ten characters where it is ISO, else the day of the milliseconds. A date is never shifted. #}
{% macro date_of_text(value) -%}
    case when {{ value }} like '%-%' then {{ safe_cast('substring(' ~ value ~ ', 1, 10)', 'date') }} else cast({{ instant_of_milliseconds(safe_cast(value, 'bigint')) }} as date) end
{%- endmacro %}
