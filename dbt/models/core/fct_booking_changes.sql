-- One row per deal, fiscal quarter, credited rep and business day on which what counts as won in the quarter changed, signed.
-- Summed up to a day it is what was won as known then, summed to the end it is fct_bookings.

with wins as (

    select
        s.opportunity_id,
        s.credited_rep_id as rep_id,
        s.amount,
        s.currency_code,
        s.booking_date,
        d.fiscal_quarter,
        d.quarter_start_date,
        s.valid_from_at,
        case
            when s.valid_to_at < {{ start_of_business_date(plus_days('d.quarter_end_date', 1)) }} then {{ business_date('s.valid_to_at') }}
        end as to_date
    from {{ ref('fct_opportunity_states') }} as s
    inner join {{ ref('dim_dates') }} as d on s.booking_date = d.date_day
    where s.outcome = 'won' and not s.is_deleted and s.merged_into_id is null and not s.is_excluded

),

counted as (

    -- a state that ends within the quarter counts while it holds; of those that outlast it the first one counts for good
    select
        *,
        {{ business_date('valid_from_at') }} as from_date
    from (
        select
            *,
            row_number() over (
                partition by opportunity_id, quarter_start_date, case when to_date is null then 1 else 0 end order by valid_from_at
            ) as place
        from wins
    ) as ordered
    where to_date is not null or place = 1

),

valued as (

    select
        w.opportunity_id,
        w.fiscal_quarter,
        w.quarter_start_date,
        w.rep_id,
        coalesce(a.team, 'unassigned') as team,
        coalesce(a.segment, 'unassigned') as segment,
        w.from_date,
        w.to_date,
        {{ booked_amount('w') }} as amount_base
    from counted as w
    {{ booking_rates('w') }}
    left join {{ ref('int_rep_attributes') }} as a
        on w.rep_id = a.rep_id
        and {{ holds_on('a', 'w.booking_date') }}

),

changes as (

    select opportunity_id, fiscal_quarter, quarter_start_date, rep_id, team, segment, from_date as change_date, amount_base from valued
    union all
    select opportunity_id, fiscal_quarter, quarter_start_date, rep_id, team, segment, to_date, -amount_base from valued
    where to_date is not null

)

select
    opportunity_id,
    fiscal_quarter,
    quarter_start_date,
    change_date,
    rep_id,
    team,
    segment,
    cast(sum(amount_base) as decimal(18, 2)) as won_amount_base
from changes
group by opportunity_id, fiscal_quarter, quarter_start_date, change_date, rep_id, team, segment
having sum(amount_base) <> 0
