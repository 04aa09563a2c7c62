-- One row per deal and fiscal quarter in which it counts as won: its state at the quarter's end (or now, in a running quarter).
-- Credit goes to the owner at close. A deal reopened later stays won in its quarter; a win recorded only after the quarter's end counts with its first state.

with wins as (

    select
        s.opportunity_id,
        s.state_number,
        s.credited_rep_id as rep_id,
        s.amount,
        s.currency_code,
        s.booking_date,
        s.closed_at,
        d.fiscal_quarter,
        d.quarter_start_date,
        d.quarter_end_date,
        row_number() over (partition by s.opportunity_id, d.quarter_start_date order by s.valid_from_at) as recency
    from {{ ref('fct_opportunity_states') }} as s
    inner join {{ ref('dim_dates') }} as d on s.booking_date = d.date_day
    where s.outcome = 'won'
        and not s.is_deleted and s.merged_into_id is null and not s.is_excluded
        -- still so when the quarter ended
        and (s.valid_to_at is null or s.valid_to_at >= {{ start_of_business_date(plus_days('d.quarter_end_date', 1)) }})

)

select
    w.opportunity_id,
    w.fiscal_quarter,
    w.quarter_start_date,
    w.booking_date,
    w.rep_id,
    coalesce(a.team, 'unassigned') as team,
    coalesce(a.segment, 'unassigned') as segment,
    w.amount,
    w.currency_code,
    cast(round(coalesce(w.amount, 0) * coalesce(r.rate_to_base, o.rate_to_base, 0), 2) as decimal(18, 2)) as won_amount_base
from wins as w
left join {{ ref('int_currency_rates') }} as r
    on w.currency_code = r.currency_code and r.rate_type = 'dated'
    and {{ holds_on('r', 'w.booking_date') }}
left join {{ ref('int_valuation_rates') }} as o
    on w.currency_code = o.currency_code
    and {{ holds_on('o', 'w.booking_date') }}
left join {{ ref('int_rep_attributes') }} as a
    on w.rep_id = a.rep_id
    and {{ holds_on('a', 'w.booking_date') }}
where w.recency = 1
