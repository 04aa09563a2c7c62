-- A deal was set to won with a date in an earlier fiscal quarter than the day on which the record was set: in its close date, which is
-- then read in the wrong quarter, or in the time of the close itself, which moves the booking into a quarter that was over.

with wins as (

    select
        *,
        case when outcome = 'won' and lag(outcome, 1, 'open') over (partition by opportunity_id order by valid_from_at) <> 'won' then valid_from_at end as set_at
    from {{ ref('fct_opportunity_states') }}

),

recorded as (

    -- a deal reopened and won again was set again
    select
        *,
        {{ business_date(last_known('set_at', 'opportunity_id', 'valid_from_at')) }} as set_date,
        {{ earlier('close_date', 'booking_date') }} as told_date
    from wins

)

select
    s.opportunity_id,
    s.valid_from_at as from_at,
    s.valid_to_at as to_at,
    'set to won on ' || cast(s.set_date as varchar) || ' (' || d.fiscal_quarter || '), dated ' || cast(s.told_date as varchar) as evidence
from recorded as s
inner join {{ ref('dim_dates') }} as d on s.set_date = d.date_day
where s.outcome = 'won'
    and s.told_date < d.quarter_start_date
    and {{ is_live('s') }}
