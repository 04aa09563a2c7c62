{# The fields of a deal whose history is kept, with the type their text is read as. #}
{% macro opportunity_fields() %}
    {{ return({
        'pipeline': 'varchar', 'stage': 'varchar', 'amount': 'decimal(18, 2)', 'list_amount': 'decimal(18, 2)',
        'discount_rate': 'decimal(9, 4)', 'currency_code': 'varchar', 'close_date': 'date', 'owner_id': 'varchar',
        'account_id': 'varchar', 'forecast_category': 'varchar', 'probability': 'decimal(9, 4)', 'next_step': 'varchar',
        'next_step_date': 'date', 'champion': 'varchar', 'economic_buyer': 'varchar', 'budget_confirmed': 'boolean',
        'decision_timeline': 'date', 'competitor': 'varchar', 'loss_reason': 'varchar', 'is_deleted': 'boolean',
        'merged_into_id': 'varchar', 'outcome_flag': 'varchar', 'closed_at': 'timestamp'
    }) }}
{% endmacro %}

{# Fields that say how a deal ended: of a record first seen closed they begin with the close, never at its creation. #}
{% macro closing_fields() %}
    {{ return(['forecast_category', 'probability', 'loss_reason', 'outcome_flag', 'closed_at']) }}
{% endmacro %}

{# The order in which systems lead where several know one thing; files rank behind Salesforce. #}
{% macro system_rank(source_system) -%}
    case {{ source_system }} when 'salesforce' then 1 when 'hubspot' then 3 when 'gong' then 4 else 2 end
{%- endmacro %}

{#
    A table expression: id and survivor_id, the record that stands at the end of a chain of up to nine merges. `merges` names a
    relation with id and merged_into_id.
#}
{% macro survivors(merges) -%}
    {%- set steps = 8 -%}
    (
        select
            merge_0.id,
            coalesce({% for step in range(steps, -1, -1) %}merge_{{ step }}.merged_into_id{{ ', ' if not loop.last }}{% endfor %}) as survivor_id
        from {{ merges }} as merge_0
        {%- for step in range(1, steps + 1) %}
        left join {{ merges }} as merge_{{ step }} on merge_{{ step - 1 }}.merged_into_id = merge_{{ step }}.id
        {%- endfor %}
    )
{%- endmacro %}
