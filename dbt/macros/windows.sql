{# Window and aggregate idioms that engines spell differently. #}

{# The newest non-null value of an expression up to this row. Spelled `ignore nulls` inside or outside the brackets by engine. #}
{% macro last_known(value, partition_by, order_by) -%} {{ adapter.dispatch('last_known', 'sales_management')(value, partition_by, order_by) }} {%- endmacro %}
{% macro duckdb__last_known(value, partition_by, order_by) -%}
    last_value({{ value }} ignore nulls) over (partition by {{ partition_by }} order by {{ order_by }} rows unbounded preceding)
{%- endmacro %}
{% macro spark__last_known(value, partition_by, order_by) -%}
    last_value({{ value }}, true) over (partition by {{ partition_by }} order by {{ order_by }} rows unbounded preceding)
{%- endmacro %}

{% macro percentile(value, share) -%} percentile_cont({{ share }}) within group (order by {{ value }}) {%- endmacro %}

{# Text that may not be a number, a date or an instant: null where it is not. #}
{% macro safe_cast(value, type) -%} try_cast({{ value }} as {{ type }}) {%- endmacro %}
