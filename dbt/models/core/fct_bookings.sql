-- One row per deal and fiscal quarter in which it counts as won: the won ones of core.fct_closings.

select
    opportunity_id,
    fiscal_quarter,
    quarter_start_date,
    booking_date,
    rep_id,
    team,
    segment,
    amount,
    currency_code,
    amount_base as won_amount_base
from {{ ref('fct_closings') }}
where period_type = 'quarter' and outcome = 'won'
