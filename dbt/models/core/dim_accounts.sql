-- One row per account; the same company in two systems, by domain, is one.

select
    account_id,
    account_name,
    domain,
    industry,
    segment,
    region,
    employee_count,
    owner_id as rep_id,
    parent_id as parent_account_id,
    is_deleted,
    source_system,
    created_at
from {{ ref('int_accounts') }}
