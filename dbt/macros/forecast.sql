{# What the forecast's models share. #}

{# The facts a deal's forecast should rest on, each with the claim the record itself may make; `deal` is a row of int_deals_due. #}
{% macro evidence_facts(deal='deals') %}
    {{ return({
        'champion': {'fields': ['champion'], 'claim': deal ~ '.champion'},
        'economic_buyer': {'fields': ['economic_buyer'], 'claim': deal ~ '.economic_buyer'},
        'budget': {'fields': ['budget_confirmed'], 'claim': "case when " ~ deal ~ ".budget_confirmed then 'confirmed' end"},
        'timeline': {
            'fields': ['decision_timeline'],
            'claim': "case when " ~ deal ~ ".decision_timeline >= " ~ deal ~ ".lock_date then cast(" ~ deal ~ ".decision_timeline as varchar) end"
        },
        'next_step': {
            'fields': ['next_step_date'],
            'claim': "case when " ~ deal ~ ".next_step_date >= " ~ deal ~ ".lock_date then cast(" ~ deal ~ ".next_step_date as varchar) end"
        },
        'competition': {'fields': ['competitor'], 'claim': deal ~ '.competitor'}
    }) }}
{% endmacro %}

{# Whether a list that a person wrote, separated by commas, has an item. #}
{% macro is_listed(item, list) -%}
    position(',' || {{ item }} || ',' in ',' || replace({{ list }}, ', ', ',') || ',') > 0
{%- endmacro %}
