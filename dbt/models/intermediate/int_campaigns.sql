-- One row per campaign.

select campaign_id, campaign_name, lead_source, cost_amount, start_date, end_date, 'salesforce' as source_system
from {{ ref('stg_salesforce__campaigns') }}
where not is_deleted
union all
select campaign_id, campaign_name, lead_source, cost_amount, start_date, end_date, source_system
from {{ ref('stg_files__campaigns') }}
where not is_deleted
