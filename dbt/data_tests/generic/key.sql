{# The columns together identify a row: the stated grain holds. Of an intermediate table, which columns every row fills, besides. #}
{% test key(model, columns, never_null=[]) %}
select {{ columns | join(', ') }}, count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{%- if never_null %}
union all
select {{ columns | join(', ') }}, 1 as row_count
from {{ model }}
where {% for column in never_null %}{{ column }} is null{{ ' or ' if not loop.last }}{% endfor %}
{%- endif %}
{% endtest %}
