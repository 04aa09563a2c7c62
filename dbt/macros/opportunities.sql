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

{# The fields that Salesforce writes down together whenever one of them changed. #}
{% macro snapshot_fields() %}
    {{ return(['stage', 'amount', 'probability', 'forecast_category', 'close_date']) }}
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

{#
    A table expression: the states that a stream of changes tells, one row per `key` (a comma list of columns, opportunity_id among
    them) and interval between two changes. `changes` has the columns of int_opportunity_changes and the key. Built from the
    stream alone, never from today's record.
#}
{% macro opportunity_states(changes, key) -%}
    {#- the fields that figures rest on: a state in which one of them was back-dated says so; the others may still be named #}
    {%- set relied_on = ['stage', 'amount', 'close_date', 'owner_id', 'currency_code', 'forecast_category'] -%}
    {%- set tracked = relied_on + [
        'probability', 'next_step', 'next_step_date', 'champion', 'economic_buyer', 'budget_confirmed', 'decision_timeline', 'competitor'
    ] -%}
    (
        with instants as (

            -- one row per instant at which anything changed. A value has a mark before it, = or, where it was back-dated, ~;
            -- the mark alone is "emptied here", null "not changed here"
            select
                {{ key }},
                changed_at,
                max(learned_at) as learned_at,
                {%- for field in opportunity_fields() %}
                max(case when field = '{{ field }}' then case when is_reconstructed then '~' else '=' end || coalesce(value, '') end) as {{ field }}{{ ',' if not loop.last }}
                {%- endfor %}
            from {{ changes }}
            group by {{ key }}, changed_at

        ),

        carried as (

            select
                {{ key }},
                changed_at as valid_from_at,
                lead(changed_at) over (partition by {{ key }} order by changed_at) as valid_to_at,
                learned_at,
                {%- for field in opportunity_fields() %}
                {{ last_known(field, key, 'changed_at') }} as {{ field }}{{ ',' if not loop.last }}
                {%- endfor %}
            from instants

        ),

        typed as (

            select
                {{ key }},
                valid_from_at,
                valid_to_at,
                learned_at,
                coalesce({% for field in relied_on %}{{ field }} like '~%'{{ ' or ' if not loop.last }}{% endfor %}, false) as is_reconstructed,
                nullif(concat_ws(',',
                    {%- for field in tracked %} case when {{ field }} like '~%' then '{{ field }}' end{{ ',' if not loop.last }}{% endfor -%}
                ), '') as reconstructed_fields,
                {%- for field, type in opportunity_fields().items() %}
                cast(nullif(substring({{ field }}, 2), '') as {{ type }}) as {{ field }}{{ ',' if not loop.last }}
                {%- endfor %}
            from carried

        ),

        staged as (

            -- a stage's order, outcome or place in the pipeline may change while a deal stands in it: the state is split there
            select
                t.*,
                o.source_system,
                o.is_excluded,
                s.stage is not null as is_known_stage,
                s.stage_order,
                coalesce(s.is_pipeline, true) as is_pipeline_stage,
                coalesce(t.outcome_flag, s.outcome, 'open') as outcome,
                greatest(t.valid_from_at, coalesce(s.valid_from_at, t.valid_from_at)) as from_at,
                least(coalesce(t.valid_to_at, s.valid_to_at), coalesce(s.valid_to_at, t.valid_to_at)) as to_at
            from typed as t
            inner join {{ ref('int_opportunities') }} as o on t.opportunity_id = o.opportunity_id
            left join {{ ref('int_stages') }} as s
                on o.source_system = s.source_system
                and t.pipeline = s.pipeline
                and t.stage = s.stage
                and s.valid_from_at < coalesce(t.valid_to_at, timestamp '9999-12-31 00:00:00')
                and t.valid_from_at < coalesce(s.valid_to_at, timestamp '9999-12-31 00:00:00')

        ),

        closings as (

            select
                *,
                case
                    when outcome <> 'open' and outcome <> lag(outcome, 1, 'open') over (partition by {{ key }} order by from_at)
                        then from_at
                end as closing_at,
                case
                    when outcome <> 'open' and outcome <> lag(outcome, 1, 'open') over (partition by {{ key }} order by from_at)
                        then coalesce(owner_id, 'unassigned')
                end as closing_rep_id
            from staged

        ),

        closed as (

            select
                *,
                cast(row_number() over (partition by {{ key }} order by from_at) as integer) as state_number,
                case
                    when outcome <> 'open'
                        then coalesce(closed_at, {{ last_known('closing_at', key, 'from_at') }})
                end as state_closed_at,
                case
                    when outcome <> 'open'
                        then {{ last_known('closing_rep_id', key, 'from_at') }}
                end as credited_rep_id
            from closings

        )

        select
            {{ key }},
            state_number,
            from_at as valid_from_at,
            to_at as valid_to_at,
            learned_at,
            is_reconstructed,
            reconstructed_fields,
            source_system,
            pipeline,
            stage,
            stage_order,
            is_known_stage,
            outcome,
            is_pipeline_stage,
            outcome = 'open' and is_pipeline_stage and not coalesce(is_deleted, false) and merged_into_id is null and not is_excluded as is_in_pipeline,
            coalesce(is_deleted, false) as is_deleted,
            merged_into_id,
            is_excluded,
            coalesce(owner_id, 'unassigned') as rep_id,
            credited_rep_id,
            account_id,
            amount,
            coalesce(currency_code, '{{ var("base_currency") }}') as currency_code,
            close_date,
            forecast_category,
            probability,
            next_step,
            next_step_date,
            champion,
            economic_buyer,
            budget_confirmed,
            decision_timeline,
            competitor,
            loss_reason,
            list_amount,
            discount_rate,
            state_closed_at as closed_at,
            {{ business_date('state_closed_at') }} as booking_date
        from closed
    )
{%- endmacro %}
