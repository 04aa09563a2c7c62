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
