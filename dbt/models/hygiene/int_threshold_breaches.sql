-- One row per threshold rule of the seed, deal and stretch of time in which the deal's measure is beyond the threshold. A measure that
-- counts days crosses it on a day that is worked out, never searched for: a year overdue is one row.
{{ config(schema='intermediate', materialized='view') }}

with limits as (

    -- days until a date are days since it, less than nothing: a limit on them is turned round
    select
        rule_id,
        measure,
        case
            when measure not in ({% for name, measure in deal_measures().items() if measure.clock == 'until' %}'{{ name }}'{{ ', ' if not loop.last }}{% endfor %}) then comparison
            when comparison = '>' then '<'
            when comparison = '>=' then '<='
            when comparison = '<' then '>'
            when comparison = '<=' then '>='
            else comparison
        end as comparison,
        threshold,
        case
            when measure in ({% for name, measure in deal_measures().items() if measure.clock == 'until' %}'{{ name }}'{{ ', ' if not loop.last }}{% endfor %}) then -threshold
            else threshold
        end as days
    from {{ ref('rules') }}
    where measure is not null

),

windows as (

    -- the days since the date, from the first to before the second, on which the comparison holds
    select
        *,
        case
            when comparison = '>' then cast(floor(days) as integer) + 1
            when comparison in ('>=', '=') then cast(ceil(days) as integer)
        end as first_day,
        case
            when comparison = '<' then cast(ceil(days) as integer)
            when comparison in ('<=', '=') then cast(floor(days) as integer) + 1
        end as end_day
    from limits

)

{% for name, measure in deal_measures().items() %}
{%- if measure.clock %}
select
    w.rule_id,
    m.opportunity_id,
    greatest(m.valid_from_at, coalesce({{ start_of_business_date(plus_days('m.' ~ measure.column, 'w.first_day')) }}, m.valid_from_at)) as from_at,
    {{ earlier('m.valid_to_at', start_of_business_date(plus_days('m.' ~ measure.column, 'w.end_day'))) }} as to_at,
    '{{ measure.says }} ' || cast(m.{{ measure.column }} as varchar) as evidence
from {{ ref('int_deal_measures') }} as m
inner join windows as w on w.measure = '{{ name }}'
where m.{{ measure.column }} is not null
    and (m.valid_to_at is null or w.first_day is null or {{ start_of_business_date(plus_days('m.' ~ measure.column, 'w.first_day')) }} < m.valid_to_at)
    and (w.end_day is null or {{ start_of_business_date(plus_days('m.' ~ measure.column, 'w.end_day')) }} > m.valid_from_at)
{%- else %}
select
    w.rule_id,
    m.opportunity_id,
    m.valid_from_at as from_at,
    m.valid_to_at as to_at,
    {{ text_literal(measure.says) }} || ' ' || cast(m.{{ measure.column }} as varchar) as evidence
from {{ ref('int_deal_measures') }} as m
inner join windows as w on w.measure = '{{ name }}'
where case w.comparison
    when '>' then m.{{ measure.column }} > w.threshold
    when '>=' then m.{{ measure.column }} >= w.threshold
    when '<' then m.{{ measure.column }} < w.threshold
    when '<=' then m.{{ measure.column }} <= w.threshold
    when '=' then m.{{ measure.column }} = w.threshold
end
{%- endif %}
{{ 'union all' if not loop.last }}
{% endfor %}
