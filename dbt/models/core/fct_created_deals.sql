-- One row per deal that is there as of as_of, in the cohort of the day it was created, with whoever owned it then and what became
-- of it.

select
    d.opportunity_id,
    d.created_date,
    q.month_start_date,
    q.fiscal_quarter,
    q.quarter_start_date,
    f.rep_id,
    coalesce(a.team, 'unassigned') as team,
    coalesce(a.segment, 'unassigned') as segment,
    coalesce(d.type, 'unknown') as deal_type,
    d.outcome,
    d.outcome = 'lost' and x.loss_reason is not null as is_excluded_loss,
    d.amount,
    d.currency_code,
    d.amount_base,
    d.sales_cycle_days as cycle_days
from {{ ref('fct_opportunities') }} as d
inner join {{ ref('dim_dates') }} as q on d.created_date = q.date_day
inner join {{ ref('fct_opportunity_states') }} as f on d.opportunity_id = f.opportunity_id and f.state_number = 1
left join {{ ref('int_excluded_loss_reasons') }} as x on lower(trim(d.loss_reason)) = x.loss_reason
left join {{ ref('int_rep_attributes') }} as a
    on f.rep_id = a.rep_id
    and {{ holds_on('a', 'd.created_date') }}
where not d.is_deleted and d.merged_into_id is null and not d.is_excluded
