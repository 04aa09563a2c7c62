-- One row per deal whose pipeline money a build which catches up works out anew: its history is written anew, or a team of an owner, or a
-- rate of a currency, it ever had has changed or begun to hold since. Empty where everything is written anew.

{%- set built_to_load = var('built_to_load') | string %}

with changed as (

    select kind, source_id
    from {{ ref('int_opportunity_keys') }}
    where kind in ('rep', 'currency')
        {%- if built_to_load %}
        and (added_after_load_id = {{ built_to_load }} or since > cast({{ business_date("cast('" ~ var('built_to_at') ~ "' as timestamp)") }} as varchar))
        {%- else %}
        and false
        {%- endif %}

)

select opportunity_id from {{ ref('int_opportunities_touched') }}
union
select changes.opportunity_id
from {{ ref('int_opportunity_changes') }} as changes
inner join changed on changes.value = changed.source_id
    and changes.field = case changed.kind when 'rep' then 'owner_id' else 'currency_code' end
