-- Protects fct_deals_in_play: every close of core.fct_closings is there once, for the same owner and amount, and nothing else is closed.
select coalesce(p.opportunity_id, c.opportunity_id) as opportunity_id
from (select * from {{ ref('fct_deals_in_play') }} where outcome <> 'open') as p
full outer join (select * from {{ ref('fct_closings') }} where period_type = 'quarter') as c
    on p.opportunity_id = c.opportunity_id and p.quarter_start_date = c.quarter_start_date
where p.opportunity_id is null
    or c.opportunity_id is null
    or p.outcome <> c.outcome
    or p.closed_date <> c.booking_date
    or p.rep_id <> c.rep_id
    or p.won_amount_base <> case when c.outcome = 'won' then c.amount_base else 0 end
