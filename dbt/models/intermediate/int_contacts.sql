-- One row per person at a customer as they are now, told by the system that leads.

with contacts as (

    select 'salesforce' as source_system, source_contact_id, source_account_id, contact_name, email, title, role, is_deleted from {{ ref('stg_salesforce__contacts') }}
    union all
    select source_system, source_contact_id, source_account_id, contact_name, email, title, role, is_deleted from {{ ref('stg_files__contacts') }}
    union all
    select 'hubspot', source_contact_id, source_account_id, contact_name, email, title, role, is_deleted from {{ ref('stg_hubspot__contacts') }}

)

select
    matched.contact_id,
    coalesce(accounts.account_id, contacts.source_account_id) as account_id,
    contacts.contact_name as name,
    contacts.email,
    contacts.title,
    contacts.role,
    contacts.is_deleted,
    contacts.source_system
from contacts
inner join {{ ref('int_contacts_matched') }} as matched
    on contacts.source_system = matched.source_system
    and contacts.source_contact_id = matched.source_contact_id
    and matched.contact_id = matched.source_contact_id
left join {{ ref('int_accounts_matched') }} as accounts
    on contacts.source_system = accounts.source_system and contacts.source_account_id = accounts.source_account_id
