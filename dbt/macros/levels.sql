{# The levels every mart is cut by, from the whole to the one; each with the column that identifies it. #}
{% macro levels() %}
    {{ return({'company': "'all'", 'segment': 'segment', 'team': 'team', 'rep': 'rep_id'}) }}
{% endmacro %}

{# The waterfall's movements in the order they are told, each a signed `<movement>_amount` column. #}
{% macro waterfall_movements() %}
    {{ return([
        'created', 'reopened', 'restored', 'pulled_in', 'pulled_out', 'pushed_out', 'pushed_in', 'reassigned_in', 'reassigned_out',
        'increased', 'decreased', 'currency', 'won', 'lost', 'deleted', 'merged', 'withdrawn'
    ]) }}
{% endmacro %}
