-- One row per deal whose history a build which catches up writes anew: something came of it, or what its records name has become
-- another. All deals that merge are among them, and all of a system whose stages or ways of writing changed. Empty where everything is
-- written anew.

{%- set matched, built_to_load = ref('int_opportunities_matched'), var('built_to_load') | string %}
{%- set is_catching_up = 'true' if built_to_load else 'false' %}
{%- set came = '_load_id > ' ~ built_to_load if built_to_load else 'false' %}
{%- set lay_ahead = ">= cast('" ~ var('built_to_at') ~ "' as timestamp) - interval '1' second" if built_to_load else 'is null and false' %}
{%- set records = {
    'stg_salesforce__opportunities': "'salesforce'", 'stg_files__opportunities': 'source_system', 'stg_hubspot__deals': "'hubspot'"
} %}
{%- set histories = {
    'stg_salesforce__opportunity_field_history': "'salesforce'", 'stg_files__opportunity_history': 'source_system',
    'stg_hubspot__deal_property_history': "'hubspot'"
} %}

with changed_keys as (

    select kind, source_system, source_id, stands_for, stood_for
    from {{ ref('int_opportunity_keys') }}
    where added_after_load_id = {{ built_to_load or 'null' }}

),

arrived as (

    {%- for table, system in records.items() %}
    select {{ system }} as source_system, source_opportunity_id
    from {{ ref(table) }}
    -- a deal that was created as it was read may have changes a second later, which lay ahead
    where {{ came }} or least(coalesce(created_at, _first_extracted_at), _first_extracted_at) {{ lay_ahead }}
    union
    {%- endfor %}
    {%- for table, system in (histories | items | list) + [('stg_salesforce__opportunity_history', "'salesforce'"), ('stg_hubspot__merged_deals', "'hubspot'")] %}
    select {{ system }}, source_opportunity_id
    from {{ ref(table) }}
    where {{ came }} or changed_at {{ lay_ahead }}
    union
    {%- endfor %}
    select 'hubspot', source_opportunity_id
    from {{ ref('stg_hubspot__deal_companies') }}
    where {{ came }}

),

named as (

    -- whatever may be somebody's key
    {%- for table, system in records.items() %}
    {%- for name in ['source_user_id', 'source_account_id'] if not (name == 'source_account_id' and 'hubspot' in table) %}
    select {{ system }} as source_system, source_opportunity_id, {{ name }} as source_id from {{ ref(table) }}
    union all
    {%- endfor %}
    {%- endfor %}
    {%- for table, system in histories.items() %}
    {%- for name in ['old_value', 'new_value'] if not (name == 'old_value' and 'hubspot' in table) %}
    select {{ system }}, source_opportunity_id, {{ "'hubspot-' || " if 'hubspot' in table }}{{ name }} from {{ ref(table) }}
    union all
    {%- endfor %}
    {%- endfor %}
    select 'hubspot', source_opportunity_id, source_account_id from {{ ref('stg_hubspot__deal_companies') }}

),

merges as (

    select source_opportunity_id, merged_into_id from {{ ref('stg_hubspot__merged_deals') }}
    union
    select source_opportunity_id, merged_into_id from {{ ref('stg_salesforce__opportunities') }} where merged_into_id is not null
    union
    select source_opportunity_id, merged_into_id from {{ ref('stg_files__opportunities') }} where merged_into_id is not null
    {%- for value in ['old_value', 'new_value'] %}
    union
    select source_opportunity_id, {{ value }} from {{ ref('stg_files__opportunity_history') }} where field = 'merged_into_id'
    union
    select history.source_opportunity_id, history.{{ value }}
    from {{ ref('stg_salesforce__opportunity_field_history') }} as history
    inner join {{ ref('opportunity_fields') }} as names
        on lower(history.source_field) = names.source_field and names.source_system = 'salesforce' and names.field = 'merged_into_id'
    {%- endfor %}

),

merged as (

    select source_opportunity_id from merges
    union
    select merged_into_id from merges

)

select matched.opportunity_id
from {{ matched }} as matched
inner join arrived on matched.source_system = arrived.source_system and matched.source_opportunity_id = arrived.source_opportunity_id
union
select matched.opportunity_id
from {{ matched }} as matched
inner join named on matched.source_system = named.source_system and matched.source_opportunity_id = named.source_opportunity_id
inner join changed_keys
    on changed_keys.kind in ('user', 'account') and named.source_system = changed_keys.source_system and named.source_id = changed_keys.source_id
union
select matched.opportunity_id
from {{ matched }} as matched
inner join merged on matched.source_opportunity_id = merged.source_opportunity_id
where {{ is_catching_up }}
union
select stands_for from changed_keys where kind in ('opportunity', 'led opportunity') and stands_for is not null
union
select stood_for from changed_keys where kind in ('opportunity', 'led opportunity') and stood_for is not null
union
select matched.opportunity_id
from {{ matched }} as matched
inner join changed_keys on changed_keys.kind in ('system', 'stage') and matched.source_system = changed_keys.source_system
