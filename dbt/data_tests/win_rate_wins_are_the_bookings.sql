-- Protects win_rate: what it counts as won in a quarter is what attainment counts, deal types together.
with won as (

    select quarter_start_date, sum(won_count) as won_count, sum(won_amount) as won_amount
    from {{ ref('win_rate') }}
    where level = 'company' and basis = 'closed' and period_type = 'quarter' and deal_type <> 'all'
    group by quarter_start_date

),

booked as (

    select quarter_start_date, count(*) as won_count, sum(won_amount_base) as won_amount
    from {{ ref('fct_bookings') }}
    group by quarter_start_date

)

select b.quarter_start_date, b.won_count, w.won_count as counted_won_count
from booked as b
left join won as w on b.quarter_start_date = w.quarter_start_date
where coalesce(w.won_count, 0) <> b.won_count or coalesce(w.won_amount, 0) <> b.won_amount
