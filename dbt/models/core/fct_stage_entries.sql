-- One row per deal and open stage it ever entered: its first entry, with the owner then, and what became of it: it reached a later
-- stage or was won, it was lost before that, or it is still open.

with entries as (

    select
        s.stay_id,
        s.opportunity_id,
        s.pipeline,
        s.stage,
        s.stage_order,
        s.entered_at,
        s.entered_date,
        s.fiscal_quarter,
        s.quarter_start_date,
        s.segment,
        s.team,
        s.rep_id
    from {{ ref('fct_stage_stays') }} as s
    inner join {{ ref('fct_opportunities') }} as d on s.opportunity_id = d.opportunity_id
    where s.is_first_entry and s.outcome = 'open' and not d.is_deleted and d.merged_into_id is null and not d.is_excluded

),

arrivals as (

    -- where a deal may go from a stage: into an open stage, or closed. Closings come from the states, because the CRM's flags
    -- may close a deal without moving it
    select opportunity_id, pipeline, stage_order, outcome, entered_at as arrived_at
    from {{ ref('fct_stage_stays') }}
    where outcome = 'open'

    union all

    select opportunity_id, null as pipeline, null as stage_order, outcome, valid_from_at
    from {{ ref('fct_opportunity_states') }}
    where outcome <> 'open'

),

fates as (

    -- a stage is later if its order was higher when the deal got there, whatever the order is now
    select
        e.stay_id,
        min(case
            when a.outcome = 'won' then a.arrived_at
            when a.outcome = 'open' and a.pipeline = e.pipeline and a.stage_order > coalesce(o.stage_order, e.stage_order)
                then a.arrived_at
        end) as reached_at,
        min(case when a.outcome = 'lost' then a.arrived_at end) as lost_at
    from entries as e
    inner join arrivals as a on e.opportunity_id = a.opportunity_id and a.arrived_at > e.entered_at
    left join {{ ref('dim_stages') }} as o
        on e.pipeline = o.pipeline
        and e.stage = o.stage
        and {{ holds_at('o', 'a.arrived_at') }}
    group by e.stay_id

),

finished_stays as (

    select opportunity_id, pipeline, stage, count(*) as finished_stay_count
    from {{ ref('fct_stage_stays') }}
    where outcome = 'open' and is_finished
    group by opportunity_id, pipeline, stage

)

select
    e.stay_id,
    e.opportunity_id,
    e.pipeline,
    e.stage,
    e.stage_order,
    e.entered_at,
    e.entered_date,
    e.fiscal_quarter,
    e.quarter_start_date,
    e.rep_id,
    e.team,
    e.segment,
    -- the first of the two counts: a deal lost, reopened and then moved on was lost
    case
        when f.reached_at < f.lost_at or (f.reached_at is not null and f.lost_at is null) then 'reached'
        when f.lost_at <= f.reached_at or (f.lost_at is not null and f.reached_at is null) then 'lost'
        else 'open'
    end as fate,
    -- least of a null is null on some engines and the other one on others
    {%- set first_at = 'coalesce(least(f.reached_at, f.lost_at), f.reached_at, f.lost_at, n.as_of_at)' %}
    {{ elapsed_days('e.entered_at', first_at) }} as followed_days,
    {{ elapsed_days('e.entered_at', 'n.as_of_at') }} as known_days,
    cast(coalesce(c.finished_stay_count, 0) as integer) as finished_stay_count
from entries as e
cross join {{ ref('int_as_of') }} as n
left join fates as f on e.stay_id = f.stay_id
left join finished_stays as c on e.opportunity_id = c.opportunity_id and e.pipeline = c.pipeline and e.stage = c.stage
