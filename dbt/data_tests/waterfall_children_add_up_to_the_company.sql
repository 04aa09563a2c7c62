-- Protects weekly_pipeline_waterfall: at every level each additive column sums to the company's; hand-overs are exempt.
{%- set columns = ['starting_amount', 'ending_amount'] %}
{%- for movement in waterfall_movements() if not movement.startswith('reassigned') %}{% do columns.append(movement ~ '_amount') %}{% endfor %}

with sums as (

    select
        level, week_start_date, target_fiscal_quarter,
        {%- for column in columns %}
        sum({{ column }}) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('weekly_pipeline_waterfall') }}
    group by level, week_start_date, target_fiscal_quarter

)

select c.level, c.week_start_date, c.target_fiscal_quarter
from sums as c
left join sums as p
    on p.level = 'company' and c.week_start_date = p.week_start_date and c.target_fiscal_quarter = p.target_fiscal_quarter
where c.level <> 'company'
    and (
        {%- for column in columns %}
        c.{{ column }} <> coalesce(p.{{ column }}, 0){{ ' or' if not loop.last }}
        {%- endfor %}
    )
