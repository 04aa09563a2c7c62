{# A table takes the place of the one that stands in one transaction: DuckDB can, and readers see the one or the other. dbt's own way builds
a second one beside, renames both and drops the first, which for small tables takes longer than filling them. #}
{% materialization table, adapter='duckdb' %}

    {%- set standing, target = load_cached_relation(this), this.incorporate(type='table') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% call statement('main') -%}
        {% if standing is not none %}drop {{ standing.type }} {{ standing }};{% endif %}
        {{ create_table_as(False, target, compiled_code) }}
    {%- endcall %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do persist_docs(target, model) %}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target]}) }}

{% endmaterialization %}
