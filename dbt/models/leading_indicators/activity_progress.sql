-- One row per rep and fiscal quarter: how much was done, and whether the deals it was done on then moved forward within the
-- setting's days; compared with the reps of the same segment, it names much activity that moves little.

{%- set kinds = ['created', 'advanced', 'won'] %}
{%- set days = var('progress_days') %}

with volumes as (

    -- what a rep did for a deal on a day, and for none
    select
        a.rep_id,
        a.opportunity_id,
        a.activity_date,
        count(*) as completed_count,
        sum(case when a.is_two_way then 1 else 0 end) as two_way_count
    from {{ ref('fct_activities') }} as a
    where {{ is_effort('a') }}
    group by a.rep_id, a.opportunity_id, a.activity_date

),

steps as (

    select opportunity_id, movement_date as step_date, 'created' as kind
    from {{ ref('fct_pipeline_movements') }}
    where movement = 'created'

    union all

    select opportunity_id, {{ business_date('exited_at') }}, 'advanced'
    from {{ ref('fct_stage_stays') }}
    where exit_to = 'advanced'

    union all

    select opportunity_id, booking_date, 'won'
    from {{ ref('fct_bookings') }}

),

next_steps as (

    -- from the day after a deal's step to the day of its next one, the next one of each kind is the same
    select
        opportunity_id,
        coalesce(lag(step_date) over (partition by opportunity_id order by step_date), date '1900-01-01') as after_date,
        step_date as next_date,
        {%- for kind in kinds %}
        min({{ kind }}_date) over (partition by opportunity_id order by step_date rows between current row and unbounded following)
            as next_{{ kind }}_date{{ ',' if not loop.last }}
        {%- endfor %}
    from (
        select
            opportunity_id,
            step_date,
            {%- for kind in kinds %}
            max(case when kind = '{{ kind }}' then step_date end) as {{ kind }}_date{{ ',' if not loop.last }}
            {%- endfor %}
        from steps
        group by opportunity_id, step_date
    ) as step_days

),

deals as (

    -- work on open deals: one period and one next step a day, so nothing multiplies. What had not had its days by as_of
    -- cannot say yet whether it moved anything
    select
        rep_id,
        opportunity_id,
        fiscal_quarter,
        quarter_start_date,
        sum(completed_count) as activity_count,
        sum(case when is_observed then completed_count else 0 end) as observed_count,
        sum(case when is_observed and is_followed then completed_count else 0 end) as followed_count,
        max(case when is_observed then 1 else 0 end) as is_worked,
        max(case when is_observed and is_followed then 1 else 0 end) as is_moved,
        {%- for kind in kinds %}
        max(case when is_observed and is_{{ kind }} then 1 else 0 end) as is_{{ kind }}{{ ',' if not loop.last }}
        {%- endfor %}
    from (
        select
            a.rep_id,
            a.opportunity_id,
            q.fiscal_quarter,
            q.quarter_start_date,
            a.completed_count,
            a.activity_date <= {{ plus_days('n.as_of_date', -days) }} as is_observed,
            s.next_date <= {{ plus_days('a.activity_date', days) }} as is_followed,
            {%- for kind in kinds %}
            s.next_{{ kind }}_date <= {{ plus_days('a.activity_date', days) }} as is_{{ kind }}{{ ',' if not loop.last }}
            {%- endfor %}
        from volumes as a
        cross join {{ ref('int_as_of') }} as n
        inner join {{ ref('dim_dates') }} as q on a.activity_date = q.date_day
        inner join {{ ref('fct_open_periods') }} as o
            on a.opportunity_id = o.opportunity_id
            and a.activity_date >= o.open_from_date
            and a.activity_date <= coalesce(o.open_to_date, date '9999-12-31')
        left join next_steps as s
            on a.opportunity_id = s.opportunity_id
            and a.activity_date > s.after_date
            and a.activity_date <= s.next_date
    ) as followed
    group by rep_id, opportunity_id, fiscal_quarter, quarter_start_date

),

parts as (

    select
        a.rep_id,
        q.fiscal_quarter,
        q.quarter_start_date,
        sum(a.completed_count) as completed_count,
        sum(a.two_way_count) as two_way_count,
        0 as working_day_count, 0 as deal_activity_count, 0 as observed_count, 0 as followed_count,
        0 as worked_deal_count, 0 as moved_deal_count
        {%- for kind in kinds %}, 0 as {{ kind }}_deal_count{% endfor %}
    from volumes as a
    inner join {{ ref('dim_dates') }} as q on a.activity_date = q.date_day
    group by a.rep_id, q.fiscal_quarter, q.quarter_start_date

    union all

    select
        rep_id, fiscal_quarter, quarter_start_date,
        0, 0, 0, sum(activity_count), sum(observed_count), sum(followed_count), sum(is_worked), sum(is_moved)
        {%- for kind in kinds %}, sum(is_{{ kind }}){% endfor %}
    from deals
    group by rep_id, fiscal_quarter, quarter_start_date

    union all

    -- before the first activity nobody logged; who is not a rep counts in the quarters in which they did something
    select
        w.rep_id, w.fiscal_quarter, w.quarter_start_date,
        0, 0, count(*), 0, 0, 0, 0, 0{% for kind in kinds %}, 0{% endfor %}
    from {{ ref('int_rep_working_days') }} as w
    left join (
        select distinct a.rep_id, q.quarter_start_date
        from volumes as a
        inner join {{ ref('dim_dates') }} as q on a.activity_date = q.date_day
    ) as d on w.rep_id = d.rep_id and w.quarter_start_date = d.quarter_start_date
    where w.date_day >= (select min(activity_date) from volumes)
    group by w.rep_id, w.fiscal_quarter, w.quarter_start_date
    having max(case when w.role = 'rep' or d.rep_id is not null then 1 else 0 end) = 1

),

summed as (

    select
        rep_id,
        fiscal_quarter,
        quarter_start_date,
        sum(working_day_count) as working_day_count,
        sum(completed_count) as completed_count,
        sum(two_way_count) as two_way_count,
        sum(deal_activity_count) as deal_activity_count,
        sum(observed_count) as observed_count,
        sum(followed_count) as followed_count,
        sum(worked_deal_count) as worked_deal_count,
        sum(moved_deal_count) as moved_deal_count,
        {%- for kind in kinds %}
        sum({{ kind }}_deal_count) as {{ kind }}_deal_count{{ ',' if not loop.last }}
        {%- endfor %}
    from parts
    group by rep_id, fiscal_quarter, quarter_start_date

),

placed as (

    select
        s.*,
        coalesce(r.team, 'unassigned') as team,
        coalesce(r.segment, 'unassigned') as segment,
        {{ plus_days('d.quarter_end_date', days) }} <= n.as_of_date as is_complete,
        1e0 * s.deal_activity_count / nullif(s.working_day_count, 0) as deal_activity_per_working_day,
        s.working_day_count > 0 and s.worked_deal_count >= {{ var('minimum_n') }} as is_measured
    from summed as s
    cross join {{ ref('int_as_of') }} as n
    inner join {{ ref('dim_dates') }} as d on s.quarter_start_date = d.date_day
    left join {{ ref('int_rep_attributes') }} as r
        on s.rep_id = r.rep_id
        and {{ holds_on('r', 'least(d.quarter_end_date, n.as_of_date)') }}

),

segments as (

    select
        segment,
        quarter_start_date,
        count(*) as measured_count,
        sum(worked_deal_count) as worked_deal_count,
        sum(moved_deal_count) as moved_deal_count,
        {{ percentile('deal_activity_per_working_day', 0.75) }} as p75_deal_activity_per_working_day
    from placed
    where is_measured
    group by segment, quarter_start_date

),

compared as (

    -- a rep's peers are the segment's other reps; the quartile is the whole segment's
    select
        p.*,
        coalesce(s.measured_count, 0) - case when p.is_measured then 1 else 0 end as peer_count,
        coalesce(s.worked_deal_count, 0) - case when p.is_measured then p.worked_deal_count else 0 end as peer_worked_deal_count,
        coalesce(s.moved_deal_count, 0) - case when p.is_measured then p.moved_deal_count else 0 end as peer_moved_deal_count,
        s.p75_deal_activity_per_working_day
    from placed as p
    left join segments as s on p.segment = s.segment and p.quarter_start_date = s.quarter_start_date

),

judged as (

    select
        *,
        case when peer_count >= {{ var('minimum_peers') }} then p75_deal_activity_per_working_day end as segment_p75_per_working_day,
        case when peer_count >= {{ var('minimum_peers') }} then 1e0 * peer_moved_deal_count / nullif(peer_worked_deal_count, 0) end as peer_moved_deal_rate,
        {{ wilson_low('moved_deal_count', 'worked_deal_count') }} as moved_deal_rate_low,
        {{ wilson_high('moved_deal_count', 'worked_deal_count') }} as moved_deal_rate_high
    from compared

)

select
    rep_id,
    team,
    segment,
    fiscal_quarter,
    quarter_start_date,
    is_complete,
    cast(working_day_count as bigint) as working_day_count,
    cast(completed_count as bigint) as completed_count,
    cast(two_way_count as bigint) as two_way_count,
    cast(deal_activity_count as bigint) as deal_activity_count,
    cast(deal_activity_per_working_day as decimal(18, 4)) as deal_activity_per_working_day,
    cast(observed_count as bigint) as observed_activity_count,
    cast(followed_count as bigint) as followed_activity_count,
    cast(1e0 * followed_count / nullif(observed_count, 0) as decimal(9, 6)) as followed_activity_rate,
    cast(worked_deal_count as bigint) as worked_deal_count,
    cast(moved_deal_count as bigint) as moved_deal_count,
    {%- for kind in kinds %}
    cast({{ kind }}_deal_count as bigint) as {{ kind }}_deal_count,
    {%- endfor %}
    cast(1e0 * moved_deal_count / nullif(worked_deal_count, 0) as decimal(9, 6)) as moved_deal_rate,
    cast(moved_deal_rate_low as decimal(9, 6)) as moved_deal_rate_low,
    cast(moved_deal_rate_high as decimal(9, 6)) as moved_deal_rate_high,
    cast(peer_count as bigint) as peer_count,
    cast(segment_p75_per_working_day as decimal(18, 4)) as segment_p75_per_working_day,
    cast(peer_moved_deal_rate as decimal(9, 6)) as peer_moved_deal_rate,
    cast(peer_moved_deal_count as bigint) as peer_moved_deal_count,
    cast(peer_worked_deal_count as bigint) as peer_worked_deal_count,
    case when is_measured then deal_activity_per_working_day > segment_p75_per_working_day end as is_high_activity,
    case when is_measured then moved_deal_rate_high < peer_moved_deal_rate end as is_low_progress,
    case when is_measured then
        deal_activity_per_working_day > segment_p75_per_working_day and moved_deal_rate_high < peer_moved_deal_rate
    end as is_high_activity_low_progress,
    worked_deal_count < {{ var('minimum_n') }} as is_small_sample
from judged
