-- One row per deal and fiscal quarter in which it was in play: in pipeline at the quarter's start, come into it in the quarter, or
-- closed in it without ever having been there. Counted once a quarter, with whoever it ended with.

with quarters as (

    select distinct d.fiscal_quarter, d.quarter_start_date, d.quarter_end_date
    from {{ ref('dim_dates') }} as d
    inner join {{ ref('int_as_of') }} as n on d.quarter_start_date <= n.as_of_date

),

positions as (

    -- where a deal stood at the end of each day on which it moved
    select
        opportunity_id,
        movement_date,
        rep_id,
        team,
        segment,
        movement_order = 8 as has_left,
        movement,
        entry_date,
        min(entry_date) over (partition by opportunity_id) as first_in_pipeline_date,
        lead(movement_date) over (partition by opportunity_id order by movement_date) as next_movement_date
    from (
        select
            *,
            min(case when movement_order = 7 then movement_date end) over (partition by opportunity_id, movement_date) as entry_date,
            row_number() over (partition by opportunity_id, movement_date order by movement_order desc) as from_last
        from {{ ref('fct_pipeline_movements') }}
    ) as movements
    where from_last = 1

),

quarter_ends as (

    -- the last position of each quarter; a deal that left has none in the quarters after
    select
        p.opportunity_id,
        q.fiscal_quarter,
        q.quarter_start_date,
        p.rep_id,
        p.team,
        p.segment,
        p.has_left,
        p.movement,
        p.first_in_pipeline_date,
        coalesce(
            lag(q.quarter_end_date) over (partition by p.opportunity_id order by q.quarter_start_date) = {{ plus_days('q.quarter_start_date', -1) }}
            and not lag(p.has_left) over (partition by p.opportunity_id order by q.quarter_start_date),
            false
        ) as was_in_pipeline_at_start
    from positions as p
    inner join quarters as q
        on q.quarter_end_date >= p.movement_date
        and q.quarter_start_date <= case when p.has_left then p.movement_date else date '9999-12-31' end
        and q.quarter_end_date < coalesce(p.next_movement_date, date '9999-12-31')

),

entries as (

    select p.opportunity_id, d.quarter_start_date, min(p.entry_date) as entered_date
    from positions as p
    inner join {{ ref('dim_dates') }} as d on p.movement_date = d.date_day
    where p.entry_date is not null
    group by p.opportunity_id, d.quarter_start_date

),

in_pipeline as (

    select
        e.*,
        case when e.was_in_pipeline_at_start then e.quarter_start_date else n.entered_date end as in_play_from_date
    from quarter_ends as e
    left join entries as n on e.opportunity_id = n.opportunity_id and e.quarter_start_date = n.quarter_start_date
    -- a record that went away was no deal
    where not (e.has_left and e.movement in ('deleted', 'merged'))

),

closed as (

    select * from {{ ref('fct_closings') }} where period_type = 'quarter'

)

select
    coalesce(c.opportunity_id, p.opportunity_id) as opportunity_id,
    coalesce(c.fiscal_quarter, p.fiscal_quarter) as fiscal_quarter,
    coalesce(c.quarter_start_date, p.quarter_start_date) as quarter_start_date,
    coalesce(c.rep_id, p.rep_id) as rep_id,
    coalesce(c.team, p.team) as team,
    coalesce(c.segment, p.segment) as segment,
    coalesce(c.outcome, 'open') as outcome,
    p.opportunity_id is not null as is_from_pipeline,
    -- closed before its entry was recorded: in play no later than that
    least(coalesce(p.in_play_from_date, c.booking_date), coalesce(c.booking_date, p.in_play_from_date)) as in_play_from_date,
    c.booking_date as closed_date,
    cast(case when c.outcome = 'won' then c.amount_base else 0 end as decimal(18, 2)) as won_amount_base,
    case
        when c.outcome = 'won' and p.first_in_pipeline_date <= c.booking_date
            then {{ days_between('p.first_in_pipeline_date', 'c.booking_date') }}
    end as days_to_win
from in_pipeline as p
full outer join closed as c on p.opportunity_id = c.opportunity_id and p.quarter_start_date = c.quarter_start_date
-- a close that counts in another quarter, or was taken back, ended it there
where c.opportunity_id is not null or not (p.has_left and p.movement in ('won', 'lost'))
