-- One row per deal of a system: which deal it is. A deal that names its copy in a system that leads it counts as that one.

with deals as (

    select 'salesforce' as source_system, source_opportunity_id, cast(null as varchar) as external_id from {{ ref('stg_salesforce__opportunities') }} where _is_latest
    union all
    select source_system, source_opportunity_id, external_id from {{ ref('stg_files__opportunities') }} where _is_latest
    union all
    select 'hubspot', source_opportunity_id, external_id from {{ ref('stg_hubspot__deals') }} where _is_latest

),

names as (

    -- how other systems write a deal's id: as it is, without our prefix, or with Salesforce's 15 characters
    select source_system, source_opportunity_id, source_opportunity_id as name from deals
    union
    select source_system, source_opportunity_id, replace(source_opportunity_id, 'hubspot-', '') from deals where source_system = 'hubspot'
    union
    select source_system, source_opportunity_id, substring(source_opportunity_id, 1, 15) from deals
    where source_system = 'salesforce' and length(source_opportunity_id) = 18

),

copies as (

    select
        deals.source_system,
        deals.source_opportunity_id,
        min(names.source_opportunity_id) as opportunity_id
    from deals
    inner join names
        on deals.external_id = names.name
        and {{ system_rank('names.source_system') }} < {{ system_rank('deals.source_system') }}
    group by deals.source_system, deals.source_opportunity_id

)

select
    deals.source_system,
    deals.source_opportunity_id,
    coalesce(farther.opportunity_id, copies.opportunity_id, deals.source_opportunity_id) as opportunity_id,
    copies.opportunity_id is null as is_leading
from deals
left join copies on deals.source_system = copies.source_system and deals.source_opportunity_id = copies.source_opportunity_id
left join copies as farther on copies.opportunity_id = farther.source_opportunity_id
