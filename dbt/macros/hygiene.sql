{# What hygiene rules are made of; docs/add-a-hygiene-rule.md shows how. #}

{#
    The measures of int_deal_measures that a seed row can hold against a threshold. A `since` or `until` measure counts days from or
    to a date in its column, so it changes by itself; every other one holds as long as the deal's state does.
#}
{% macro deal_measures() %}
    {{ return({
        'amount': {'column': 'amount', 'says': 'amount'},
        'close_date_push_count': {'column': 'close_date_push_count', 'says': 'close date pushes'},
        'probability_gap': {'column': 'probability_gap', 'says': "probability away from the stage's by"},
        'discount_rate': {'column': 'discount_rate', 'says': 'discount'},
        'sales_cycle_days': {'column': 'sales_cycle_days', 'says': 'days from creation to close'},
        'days_past_close_date': {'column': 'close_date', 'clock': 'since', 'says': 'close date'},
        'days_until_close_date': {'column': 'close_date', 'clock': 'until', 'says': 'close date'},
        'days_past_next_step': {'column': 'next_step_date', 'clock': 'since', 'says': 'next step of'},
        'days_in_stage': {'column': 'stage_since_date', 'clock': 'since', 'says': 'in the stage since'},
        'days_open': {'column': 'open_since_date', 'clock': 'since', 'says': 'open since'}
    }) }}
{% endmacro %}

{# The rule files: every model in models/hygiene/rules. Known once the project is parsed, so empty before. #}
{% macro rule_models() %}
    {%- set found = [] -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() | sort(attribute='name') if node.resource_type == 'model' and node.fqn[1:-1] == ['hygiene', 'rules'] -%}
            {%- do found.append(node) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(found) }}
{% endmacro %}

{# The models a rule file may read. A mart that a rule wants to read, too, is added here. #}
{% macro rule_inputs() %}
    {{ return([
        'rules', 'fct_opportunity_states', 'fct_opportunities', 'fct_stage_stays', 'fct_bookings', 'fct_activities', 'dim_accounts',
        'dim_reps', 'dim_stages', 'dim_dates', 'int_as_of', 'int_opportunities', 'int_opportunity_contacts', 'int_rep_attributes',
        'int_currency_rates', 'int_valuation_rates', 'int_deal_measures'
    ]) }}
{% endmacro %}

{# The threshold a rule file works with, as the seed or the file itself sets it. #}
{% macro rule_threshold(rule_id) -%} (select threshold from {{ ref('rules') }} where rule_id = '{{ rule_id }}') {%- endmacro %}

{# Neither deleted, merged away nor excluded. #}
{% macro is_live(states) -%} not {{ states }}.is_deleted and {{ states }}.merged_into_id is null and not {{ states }}.is_excluded {%- endmacro %}

{# The deal's system keeps this field at all: what nobody could fill in is not missing. #}
{% macro is_kept(field, states) -%}
    {{ states }}.source_system in (select source_system from {{ ref('fct_opportunity_states') }} where {{ field }} is not null)
{%- endmacro %}

{# The earlier of two instants or dates, either of which may be open (null). Engines differ on what least() makes of a null. #}
{% macro earlier(a, b) -%} coalesce(least({{ a }}, {{ b }}), {{ a }}, {{ b }}) {%- endmacro %}

{# Whether a contact's role on a deal makes them its champion, or the one who decides on the money. #}
{% macro is_champion_role(role) -%} lower({{ role }}) like '%champion%' {%- endmacro %}
{% macro is_buyer_role(role) -%}
    (lower({{ role }}) like '%economic%' or lower({{ role }}) like '%budget%' or lower({{ role }}) like '%decision%maker%')
{%- endmacro %}

{# Text in a model's words, as a literal; null where there is none. #}
{% macro text_literal(text) -%} {%- if text is none -%} cast(null as varchar) {%- else -%} '{{ text | replace("'", "''") }}' {%- endif -%} {%- endmacro %}
