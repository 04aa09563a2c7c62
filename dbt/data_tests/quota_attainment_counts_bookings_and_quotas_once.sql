-- Protects quota_attainment: a quarter's won amount is the bookings', its quota the reps' own; a manager's quota on top halves attainment.
with measured as (

    select quarter_start_date, won_amount, full_quota_amount
    from {{ ref('quota_attainment') }}
    where level = 'company' and period_type = 'quarter'

),

booked as (

    select quarter_start_date, sum(won_amount_base) as won_amount
    from {{ ref('fct_bookings') }}
    group by quarter_start_date

),

quotas as (

    -- what the reps were told for periods that lie in the quarter: the most that can be counted
    select d.quarter_start_date, sum(q.quota_amount_base) as full_quota_amount
    from {{ ref('fct_quotas') }} as q
    inner join {{ ref('dim_dates') }} as d on q.period_start_date = d.date_day
    where q.quota_type = 'full' and not q.has_reports and q.period_end_date <= d.quarter_end_date
    group by d.quarter_start_date

),

spanning as (

    select count(*) as quota_count
    from {{ ref('fct_quotas') }} as q
    inner join {{ ref('dim_dates') }} as d on q.period_start_date = d.date_day
    where q.quota_type = 'full' and q.period_end_date > d.quarter_end_date

)

select coalesce(m.quarter_start_date, b.quarter_start_date) as quarter_start_date, m.won_amount, b.won_amount as booked_amount, m.full_quota_amount, q.full_quota_amount as told_quota_amount
from measured as m
full outer join booked as b on m.quarter_start_date = b.quarter_start_date
left join quotas as q on m.quarter_start_date = q.quarter_start_date
cross join spanning as s
where coalesce(m.won_amount, 0) <> coalesce(b.won_amount, 0)
    or (s.quota_count = 0 and coalesce(m.full_quota_amount, 0) > coalesce(q.full_quota_amount, 0))
