-- One row per quota: a person or a team, a period and a type. A quota of somebody with reports is never summed with theirs.

select
    q.rep_id,
    q.team,
    q.quota_type,
    q.period_start_date,
    q.period_end_date,
    d.fiscal_quarter,
    d.quarter_start_date,
    q.amount as quota_amount,
    q.currency_code,
    {{ cents('q.amount', 'r.rate_to_base') }} as quota_amount_base,
    exists (
        select 1 from {{ ref('int_rep_assignments') }} as m
        where m.manager_id = q.rep_id and m.status <> 'left'
            and m.valid_from_date <= q.period_end_date
            and (m.valid_to_date is null or m.valid_to_date > q.period_start_date)
    ) as has_reports,
    q.source_system
from {{ ref('int_quotas') }} as q
inner join {{ ref('dim_dates') }} as d on q.period_start_date = d.date_day
left join {{ ref('int_valuation_rates') }} as r
    on q.currency_code = r.currency_code
    and {{ holds_on('r', 'q.period_start_date') }}
