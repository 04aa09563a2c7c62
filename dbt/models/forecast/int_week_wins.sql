-- One row per deal won in the week of the newest lock, as known then: whether the lock before it can explain the win, because the deal
-- stood open in it or was created since. Empty without a lock before.
{{ config(schema='intermediate') }}

with deals_before as (

    select opportunity_id, lock_date
    from {{ source('archive', 'locked_inputs') }}
    where company_id = (select company_id from {{ source('ops', 'company') }})
    union all
    select opportunity_id, lock_date from {{ ref('int_deals_due') }}

),

lock_before as (

    select max(b.lock_date) as lock_date
    from deals_before as b
    inner join {{ ref('int_as_of') }} as n on b.lock_date < n.lock_date

),

wins as (

    select s.opportunity_id, max(s.booking_date) as booking_date
    from {{ ref('fct_opportunity_states') }} as s
    cross join {{ ref('int_as_of') }} as n
    cross join lock_before as b
    where s.outcome = 'won' and {{ is_live('s') }} and {{ stands_at('s', 'n.lock_at') }} and s.learned_at < n.lock_at
        and s.booking_date > b.lock_date and s.booking_date <= n.lock_date
    group by s.opportunity_id

)

select
    w.opportunity_id,
    w.booking_date,
    o.created_date,
    o.won_amount_base as amount_base,
    d.opportunity_id is not null or o.created_date > b.lock_date as is_explained
from wins as w
cross join lock_before as b
inner join {{ ref('fct_opportunities') }} as o on w.opportunity_id = o.opportunity_id
left join deals_before as d on w.opportunity_id = d.opportunity_id and b.lock_date = d.lock_date
