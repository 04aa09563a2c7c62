-- Protects won_amount_reconciliation: by quarter, booked less what the waterfall saw won is exactly what the table lists.
with quarters as (

    select quarter_start_date, sum(won_amount_base) as booked, 0 as moved, 0 as listed
    from {{ ref('fct_bookings') }} group by quarter_start_date
    union all
    select target_quarter_start_date, 0, -sum(won_amount), 0
    from {{ ref('weekly_pipeline_waterfall') }} where level = 'company' group by target_quarter_start_date
    union all
    select quarter_start_date, 0, 0, sum(difference_amount)
    from {{ ref('won_amount_reconciliation') }} group by quarter_start_date

)

select quarter_start_date, sum(booked) - sum(moved) as difference, sum(listed) as listed
from quarters
group by quarter_start_date
having sum(booked) - sum(moved) <> sum(listed)
