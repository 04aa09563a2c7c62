{# Intervals of one thing follow each other without a gap or an overlap, and only the last one is open. #}
{% test no_gaps_in_time(model, partition_by, from_column, to_column) %}
select *
from (
    select
        {{ partition_by }},
        {{ from_column }},
        {{ to_column }},
        lead({{ from_column }}) over (partition by {{ partition_by }} order by {{ from_column }}) as next_from
    from {{ model }}
) as intervals
where coalesce({{ to_column }} <> next_from, ({{ to_column }} is null) <> (next_from is null))
{% endtest %}
