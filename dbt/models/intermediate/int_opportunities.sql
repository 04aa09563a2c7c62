-- One row per deal: what does not change over its life, and whether it is left out of every number.

select
    versions.opportunity_id,
    versions.source_system,
    versions.source_opportunity_id,
    versions.opportunity_name,
    versions.pipeline,
    versions.type,
    versions.lead_source,
    versions.campaign_id,
    versions.product,
    versions.account_id,
    versions.external_id,
    exclusions.opportunity_id is not null as is_excluded,
    exclusions.reason as exclusion_reason,
    versions.created_at,
    versions.last_modified_at
from {{ ref('int_opportunity_versions') }} as versions
cross join {{ ref('int_as_of') }} as n
left join (
    select opportunity_id, min(reason) as reason
    from {{ ref('exclusions') }}
    group by opportunity_id
) as exclusions on versions.opportunity_id = exclusions.opportunity_id
where versions.is_latest and versions.created_at <= n.as_of_at
