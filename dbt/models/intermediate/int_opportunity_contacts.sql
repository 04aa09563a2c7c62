-- One row per deal, contact and role: who at the customer is on the deal, and since when the warehouse could know it.

with links as (

    select 'salesforce' as source_system, source_opportunity_id, source_contact_id, role, {{ learned_at('created_at') }} as learned_at
    from {{ ref('stg_salesforce__opportunity_contact_roles') }}
    where not is_deleted
    union all
    -- an archived deal loses its associations in HubSpot: those it had last still say who was on it
    select 'hubspot', contacts.source_opportunity_id, contacts.source_contact_id, contacts.role, contacts._first_extracted_at
    from {{ ref('stg_hubspot__deal_contacts') }} as contacts
    left join (
        select source_opportunity_id from {{ ref('stg_hubspot__deals') }} where _is_latest and is_deleted
    ) as archived_deals on contacts.source_opportunity_id = archived_deals.source_opportunity_id
    where not contacts.is_deleted or archived_deals.source_opportunity_id is not null
    union all
    select source_system, source_opportunity_id, source_contact_id, role, _first_extracted_at
    from {{ ref('stg_files__opportunity_contacts') }}
    where not is_deleted

)

select
    coalesce(deals.opportunity_id, links.source_opportunity_id) as opportunity_id,
    coalesce(contacts.contact_id, links.source_contact_id) as contact_id,
    max(contacts.email) as email,
    links.role,
    min(links.learned_at) as learned_at
from links
left join {{ ref('int_opportunities_matched') }} as deals
    on links.source_system = deals.source_system and links.source_opportunity_id = deals.source_opportunity_id
left join {{ ref('int_contacts_matched') }} as contacts
    on links.source_system = contacts.source_system and links.source_contact_id = contacts.source_contact_id
group by coalesce(deals.opportunity_id, links.source_opportunity_id), coalesce(contacts.contact_id, links.source_contact_id), links.role
