-- One row per rep (with team and segment), target fiscal quarter and week, from the first week of the quarter before to the quarter's
-- last: the full quota known then to be carried, and what was won of it so far. Coverage is open pipeline over these.

with quarters as (

    select
        fiscal_quarter,
        quarter_start_date,
        {{ week_start('lag(quarter_start_date) over (order by quarter_start_date)') }} as first_week_start_date,
        {{ plus_days(week_start(plus_days('quarter_end_date', 1)), -7) }} as last_week_start_date
    from {{ ref('dim_dates') }}
    group by fiscal_quarter, quarter_start_date, quarter_end_date

),

changes as (

    select rep_id, team, segment, quarter_start_date, change_date, full_quota_amount as quota_amount, 0 as won_amount
    from {{ ref('fct_quota_changes') }}

    union all

    select rep_id, team, segment, quarter_start_date, change_date, 0, won_amount_base
    from {{ ref('fct_booking_changes') }}

),

weekly as (

    -- what was so before anybody looks is so when they begin to
    select
        c.rep_id,
        c.team,
        c.segment,
        q.fiscal_quarter,
        q.quarter_start_date,
        q.last_week_start_date,
        greatest({{ week_start('c.change_date') }}, q.first_week_start_date) as week_start_date,
        sum(c.quota_amount) as quota_amount,
        sum(c.won_amount) as won_amount
    from changes as c
    inner join quarters as q on c.quarter_start_date = q.quarter_start_date
    group by 1, 2, 3, 4, 5, 6, 7

),

running as (

    select
        *,
        sum(quota_amount) over bucket as quota_so_far,
        sum(won_amount) over bucket as won_so_far,
        lead(week_start_date) over bucket as next_week_start_date
    from weekly
    window bucket as (partition by rep_id, team, segment, quarter_start_date order by week_start_date)

),

weeks as (

    select d.week_start_date, d.week_end_date
    from {{ ref('dim_dates') }} as d
    cross join {{ ref('int_as_of') }} as n
    where d.date_day = d.week_start_date
        and d.week_start_date <= n.as_of_date
        and d.week_end_date >= {{ business_date('n.history_starts_at') }}

)

select
    r.rep_id,
    r.team,
    r.segment,
    w.week_start_date,
    w.week_end_date,
    r.fiscal_quarter as target_fiscal_quarter,
    r.quarter_start_date as target_quarter_start_date,
    cast(r.quota_so_far as decimal(18, 2)) as quota_amount,
    cast(r.won_so_far as decimal(18, 2)) as won_amount
from running as r
inner join weeks as w
    on w.week_start_date >= r.week_start_date
    and w.week_start_date < coalesce(r.next_week_start_date, date '9999-12-31')
    and w.week_start_date <= r.last_week_start_date
where r.quota_so_far <> 0 or r.won_so_far <> 0
