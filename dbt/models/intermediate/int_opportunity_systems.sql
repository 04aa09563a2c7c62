-- One row per system that keeps deals: how it writes probabilities and currencies, and of which fields it keeps a history.
{%- set fields = opportunity_fields() %}

with records as (

    select 'salesforce' as source_system, probability, currency_code from {{ ref('stg_salesforce__opportunities') }}
    union all
    select source_system, probability, currency_code from {{ ref('stg_files__opportunities') }}
    union all
    select 'hubspot', probability, currency_code from {{ ref('stg_hubspot__deals') }}

),

said as (

    -- files give probabilities as shares or as percent, a whole system in one way; a system without currencies keeps its books in the base one
    select
        source_system,
        case when max(probability) > 1 then 100 else 1 end as probability_scale,
        case when max(currency_code) is null then '{{ var("base_currency") }}' end as only_currency_code
    from records
    group by source_system

),

histories as (

    {%- for system, history in {'salesforce': 'opportunity_field_history', 'hubspot': 'deal_property_history'}.items() %}
    select names.source_system, names.field, history.new_value
    from {{ ref('stg_' ~ system ~ '__' ~ history) }} as history
    inner join {{ ref('opportunity_fields') }} as names
        on lower(history.source_field) = names.source_field and names.source_system = '{{ system }}'
    union all
    {%- endfor %}
    select source_system, field, new_value from {{ ref('stg_files__opportunity_history') }}

),

told as (

    select
        source_system,
        case when source_system = 'salesforce' or max(case when field = 'probability' then {{ safe_cast('new_value', 'decimal(9, 4)') }} end) > 1 then 100 else 1 end as told_probability_scale
        {%- for field in fields %},
        max(case when field = '{{ field }}' then 1 else 0 end) as tracks_{{ field }}
        {%- endfor %}
    from histories
    group by source_system

),

snapshots as (

    select 'salesforce' as source_system, max(1) as is_kept
    from {{ ref('stg_salesforce__opportunity_history') }}

)

select
    said.source_system,
    said.probability_scale,
    said.only_currency_code,
    coalesce(told.told_probability_scale, 1) as told_probability_scale
    {%- for field in fields %},
    coalesce(told.tracks_{{ field }} = 1{{ ' or snapshots.is_kept = 1' if field in snapshot_fields() }}, false) as tracks_{{ field }}
    {%- endfor %}
from said
left join told on said.source_system = told.source_system
left join snapshots on said.source_system = snapshots.source_system
