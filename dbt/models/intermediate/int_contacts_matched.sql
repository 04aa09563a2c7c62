-- One row per contact of a system: which person it is. One e-mail is one person; who has none is a person of their own.

with contacts as (

    select 'salesforce' as source_system, source_contact_id, email, is_deleted, created_at from {{ ref('stg_salesforce__contacts') }}
    union all
    select source_system, source_contact_id, email, is_deleted, null from {{ ref('stg_files__contacts') }}
    union all
    select 'hubspot', source_contact_id, email, is_deleted, created_at from {{ ref('stg_hubspot__contacts') }}

)

select
    source_system,
    source_contact_id,
    email,
    first_value(source_contact_id) over (
        partition by coalesce(email, source_system || ':' || source_contact_id)
        order by is_deleted, {{ system_rank('source_system') }}, source_system, created_at nulls last, source_contact_id
    ) as contact_id
from contacts
