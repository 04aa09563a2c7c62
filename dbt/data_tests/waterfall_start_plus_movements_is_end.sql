-- Protects weekly_pipeline_waterfall: a row whose start plus movements is not its end has lost or invented money.
select *
from {{ ref('weekly_pipeline_waterfall') }}
where starting_amount
    {%- for movement in waterfall_movements() %} + {{ movement }}_amount{% endfor %}
    <> ending_amount
