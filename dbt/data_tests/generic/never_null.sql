{# Columns every row fills: one test a model. Published tables say it in their contract (`constraints`), where the engine keeps it. #}
{% test never_null(model, columns) %}

select * from {{ model }} where {% for column in columns %}{{ column }} is null{{ ' or ' if not loop.last }}{% endfor %}

{% endtest %}
