-- Protects lever_gap: at every level what is won in a finished quarter is the bookings, and the quota is the attainment's; a deal counted
-- for two owners, or lost between pipeline and close, shows here.
with levers as (

    select level, quarter_start_date, sum(won_amount) as won_amount, sum(quota_amount) as quota_amount
    from {{ ref('lever_gap') }}
    where base = 'own' and is_complete
    group by level, quarter_start_date

),

bookings as (

    select quarter_start_date, sum(won_amount_base) as won_amount
    from {{ ref('fct_bookings') }}
    group by quarter_start_date

),

quotas as (

    select quarter_start_date, sum(full_quota_amount) as quota_amount
    from {{ ref('fct_quota_periods') }}
    where period_type = 'quarter'
    group by quarter_start_date

)

select v.*
from levers as v
left join bookings as b on v.quarter_start_date = b.quarter_start_date
left join quotas as q on v.quarter_start_date = q.quarter_start_date
where v.won_amount <> coalesce(b.won_amount, 0) or v.quota_amount <> coalesce(q.quota_amount, 0)
