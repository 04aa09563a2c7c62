-- One row per lead: where it came from, when it was created, qualified and converted, and the deal it became.

with leads as (

    select
        'salesforce' as source_system, lead_id, source_user_id, campaign_id, source_opportunity_id, lead_source, status, created_at, qualified_at,
        case when is_converted then {{ start_of_business_date('converted_date') }} end as converted_at
    from {{ ref('stg_salesforce__leads') }}
    where not is_deleted
    union all
    select source_system, lead_id, source_user_id, campaign_id, source_opportunity_id, lead_source, status, created_at, qualified_at, converted_at
    from {{ ref('stg_files__leads') }}
    where not is_deleted

)

select
    leads.lead_id,
    leads.source_system,
    leads.lead_source,
    leads.campaign_id,
    coalesce(users.rep_id, leads.source_user_id) as rep_id,
    coalesce(deals.opportunity_id, leads.source_opportunity_id) as opportunity_id,
    leads.status,
    leads.created_at,
    case when leads.qualified_at <= n.as_of_at then leads.qualified_at end as qualified_at,
    case when leads.converted_at <= n.as_of_at then leads.converted_at end as converted_at
from leads
cross join {{ ref('int_as_of') }} as n
left join {{ ref('int_users_matched') }} as users
    on leads.source_system = users.source_system and leads.source_user_id = users.source_user_id
left join {{ ref('int_opportunities_matched') }} as deals
    on leads.source_system = deals.source_system and leads.source_opportunity_id = deals.source_opportunity_id
where leads.created_at is null or leads.created_at <= n.as_of_at
