{#
    What rests on the guarded inputs refuses to be built unless the newest stored verdict passed for the inputs as they are now,
    wherever the build was started from: a job, one asset alone, or plain `dbt run`.
#}
{% macro require_gate(inputs) -%}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {%- set verdict = run_query(
            "select is_passed, fingerprint = (" ~ fingerprint(inputs) ~ ") from forecast.gate "
            ~ "where gate = 'forecast_inputs' and check_name = 'verdict' order by checked_at desc limit 1"
        ) -%}
        {%- if verdict.rows | length == 0 -%}
            {{ exceptions.raise_compiler_error("forecast gate: no verdict on " ~ inputs ~ " yet; run the checks first (make run)") }}
        {%- elif not verdict.rows[0][0] -%}
            {{ exceptions.raise_compiler_error("forecast gate: the newest verdict on " ~ inputs ~ " failed; see forecast.gate, mend the input and run again (make run)") }}
        {%- elif not verdict.rows[0][1] -%}
            {{ exceptions.raise_compiler_error("forecast gate: " ~ inputs ~ " changed since its verdict; run the checks again (make run)") }}
        {%- endif -%}
    {%- endif -%}
    select 1
{%- endmacro %}

{# Identifies the contents of a table: sum of row hashes (equal rows do not cancel) and the row count. #}
{% macro fingerprint(relation) -%} {{ adapter.dispatch('fingerprint', 'sales_management')(relation) }} {%- endmacro %}
{% macro duckdb__fingerprint(relation) -%} select coalesce(cast(sum(cast(hash(t) as hugeint)) as varchar), '0') || ':' || cast(count(*) as varchar) from {{ relation }} as t {%- endmacro %}
