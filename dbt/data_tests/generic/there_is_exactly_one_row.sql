-- What is joined to every row of a mart must be there once: none would empty the marts, two would double them.
{% test there_is_exactly_one_row(model) %}
select count(*) as row_count
from {{ model }}
having count(*) <> 1
{% endtest %}
