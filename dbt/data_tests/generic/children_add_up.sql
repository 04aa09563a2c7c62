{# At every level the columns sum to the company's, for each value of `by`: nothing is in two teams, nothing falls out of one. #}
{% test children_add_up(model, by, columns, where='true') %}

with sums as (

    select
        level, {{ by | join(', ') }},
        {%- for column in columns %}
        sum(coalesce({{ column }}, 0)) as sum_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ model }}
    where {{ where }}
    group by level, {{ by | join(', ') }}

),

expected as (

    select levels.level, keys.*
    from (select distinct {{ by | join(', ') }} from sums) as keys
    cross join (select distinct level from sums where level <> 'company') as levels

)

select e.*
from expected as e
{%- for alias, level in [('c', 'e.level'), ('p', "'company'")] %}
left join sums as {{ alias }}
    on {{ alias }}.level = {{ level }}
    {%- for key in by %} and {{ alias }}.{{ key }} = e.{{ key }}{% endfor %}
{%- endfor %}
where
    {%- for column in columns %}
    coalesce(c.sum_{{ loop.index }}, 0) <> coalesce(p.sum_{{ loop.index }}, 0){{ ' or' if not loop.last }}
    {%- endfor %}

{% endtest %}
