-- What a won deal says it is worth is no longer what it said at the end of the day it was won.

with wins as (

    -- a deal reopened and won again has another win
    select
        *,
        sum(starts) over (partition by opportunity_id order by valid_from_at rows unbounded preceding) as win_number
    from (
        select
            *,
            case when outcome = 'won' and lag(outcome, 1, 'open') over (partition by opportunity_id order by valid_from_at) <> 'won' then 1 else 0 end as starts
        from {{ ref('fct_opportunity_states') }}
    ) as states
    where outcome = 'won'

),

days as (

    select
        *,
        {{ business_date('valid_from_at') }} as state_date,
        min({{ business_date('valid_from_at') }}) over (partition by opportunity_id, win_number) as won_date
    from wins

),

won_with as (

    select
        *,
        row_number() over (partition by opportunity_id, win_number order by valid_from_at desc) as recency
    from days
    where state_date = won_date

)

select
    s.opportunity_id,
    s.valid_from_at as from_at,
    s.valid_to_at as to_at,
    coalesce(cast(w.amount as varchar), 'no amount') || ' when won on ' || cast(w.won_date as varchar) || ', now ' || coalesce(cast(s.amount as varchar), 'none') as evidence
from days as s
inner join won_with as w
    on s.opportunity_id = w.opportunity_id and s.win_number = w.win_number and w.recency = 1
where s.state_date > s.won_date
    and s.amount is distinct from w.amount
    and {{ is_live('s') }}
