-- Protects fct_booking_changes: all that changed within a quarter must leave what counts as won in it, deal by deal.
with changed as (

    select opportunity_id, quarter_start_date, rep_id, team, segment, sum(won_amount_base) as won_amount_base
    from {{ ref('fct_booking_changes') }}
    group by opportunity_id, quarter_start_date, rep_id, team, segment
    having sum(won_amount_base) <> 0

)

select *
from changed as c
full outer join (select * from {{ ref('fct_bookings') }} where won_amount_base <> 0) as b
    on c.opportunity_id = b.opportunity_id and c.quarter_start_date = b.quarter_start_date
    and c.rep_id = b.rep_id and c.team = b.team and c.segment = b.segment
where coalesce(c.won_amount_base, 0) <> coalesce(b.won_amount_base, 0)
