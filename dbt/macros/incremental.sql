{#
    Catching up: an incremental model adds what the loads after `built_to_load` brought to what stands. A run sets that variable where
    everything incremental was last built from one and the same state (dagster_project/builds.py decides); without it, as in a plain
    `dbt run`, an incremental model empties its table and takes everything anew.
#}
{% macro is_catching_up() -%} {{ return(is_incremental() and var('built_to_load') | string != '') }} {%- endmacro %}

{# A hook, before anything is added: takes out what the new rows replace. `outdated` is a condition on the rows that stand. #}
{% macro make_room(outdated) -%}
    {%- if is_catching_up() -%} delete from {{ this }} where {{ outdated }}
    {%- elif is_incremental() -%} delete from {{ this }}
    {%- endif -%}
{%- endmacro %}

{# The configuration of a model of which only the rows of deals in the model `touched` are built anew, and all others stand. #}
{% macro catch_up_by_deal(touched='int_opportunities_touched') -%}
    {{ config(
        materialized='incremental', incremental_strategy='append', on_schema_change='fail',
        pre_hook="{{ make_room('opportunity_id in (select opportunity_id from ' ~ ref('" ~ touched ~ "') ~ ')') }}"
    ) }}
{%- endmacro %}

{# A condition: this deal's rows are built now. #}
{% macro is_built_now(opportunity_id, touched='int_opportunities_touched') -%}
    {%- set touched = ref(touched) -%}
    {%- if is_catching_up() -%} {{ opportunity_id }} in (select opportunity_id from {{ touched }}) {%- else -%} true {%- endif -%}
{%- endmacro %}

{# Several columns as one text, to see whether any of them changed. #}
{% macro as_one_text(columns) -%}
    {%- for column in columns %}coalesce(cast({{ column }} as varchar), ''){{ " || '/' || " if not loop.last }}{% endfor -%}
{%- endmacro %}
