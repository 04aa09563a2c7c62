-- One row per rep (with team and segment), target fiscal quarter and week in which they had pipeline or a movement: what stood
-- at the start and at the end. The smallest buckets: every level's pipeline is a sum of these.

with flows as (

    select
        week_start_date,
        target_fiscal_quarter,
        target_quarter_start_date,
        rep_id,
        team,
        segment,
        sum(amount_base) as net_amount,
        -- coming to stand in the bucket and going from it; an edit does neither
        sum(case when movement_order in (2, 4, 7) then 1 when movement_order in (1, 3, 8) then -1 else 0 end) as net_count
    from {{ ref('fct_pipeline_movements') }}
    group by week_start_date, target_fiscal_quarter, target_quarter_start_date, rep_id, team, segment

),

running as (

    select
        *,
        sum(net_amount) over bucket as ending_amount,
        sum(net_count) over bucket as open_deal_count,
        lead(week_start_date) over bucket as next_week_start_date
    from flows
    window bucket as (partition by rep_id, team, segment, target_fiscal_quarter order by week_start_date)

),

standing as (

    -- what is left stands until the next movement, nothing only for the week that emptied it
    select
        *,
        case
            when ending_amount = 0 and open_deal_count = 0 then {{ plus_days('week_start_date', 7) }}
            else coalesce(next_week_start_date, date '9999-12-31')
        end as until_week_start_date
    from running

),

weeks as (

    select distinct d.week_start_date, d.week_end_date, d.week_fiscal_quarter, d.week_quarter_start_date
    from {{ ref('dim_dates') }} as d
    cross join {{ ref('int_as_of') }} as n
    where d.date_day <= n.as_of_date
        and d.date_day >= (select min(week_start_date) from flows)

)

select
    s.rep_id,
    s.team,
    s.segment,
    w.week_start_date,
    w.week_end_date,
    w.week_fiscal_quarter as fiscal_quarter,
    w.week_quarter_start_date as quarter_start_date,
    s.target_fiscal_quarter,
    s.target_quarter_start_date,
    -- quiet weeks carry what stood there
    cast(case
        when w.week_start_date = s.week_start_date then s.ending_amount - s.net_amount else s.ending_amount
    end as decimal(18, 2)) as starting_amount,
    cast(s.ending_amount as decimal(18, 2)) as ending_amount,
    cast(s.open_deal_count as integer) as open_deal_count
from standing as s
inner join weeks as w on w.week_start_date >= s.week_start_date and w.week_start_date < s.until_week_start_date
