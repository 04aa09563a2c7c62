-- One row per source and raw schema it fills: what was read of it, from when to when.
{% set raw_schemas = ['salesforce', 'hubspot', 'gong', 'files'] %}

with loads as (

    {%- for name in raw_schemas %}
    select 'raw_{{ name }}' as raw_schema, origin, system, load_id, first_extracted_at, last_extracted_at
    from {{ ref('stg_' ~ name ~ '__loads') }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

)

select
    raw_schema,
    origin,
    system,
    count(*) as load_count,
    min(load_id) as first_load_id,
    max(load_id) as last_load_id,
    min(first_extracted_at) as first_extracted_at,
    max(last_extracted_at) as last_extracted_at
from loads
group by raw_schema, origin, system
