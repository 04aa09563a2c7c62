-- One row per open deal as of as_of: the signs that it stands still, each with the row that proves it, and the money at stake.

with deals as (

    select o.*, n.as_of_at, n.as_of_date
    from {{ ref('fct_opportunities') }} as o
    cross join {{ ref('int_as_of') }} as n
    where o.outcome = 'open' and not o.is_deleted and o.merged_into_id is null and not o.is_excluded

),

paces as (

    -- how long the stage took the deals that were won in the end; deletion finishes no stay
    select
        s.pipeline,
        s.stage,
        count(*) as won_stay_count,
        {{ percentile('s.days_in_stage', 0.75) }} as p75_days
    from {{ ref('fct_stage_stays') }} as s
    inner join {{ ref('fct_opportunities') }} as o on s.opportunity_id = o.opportunity_id
    where s.outcome = 'open' and s.exited_at is not null and s.exit_to not in ('deleted', 'merged')
        and o.outcome = 'won' and not o.is_deleted and o.merged_into_id is null and not o.is_excluded
    group by s.pipeline, s.stage

),

touches as (

    select
        a.opportunity_id,
        a.activity_id,
        a.activity_date,
        row_number() over (partition by a.opportunity_id order by a.occurred_at desc, a.activity_id) as recency
    from {{ ref('fct_activities') }} as a
    inner join deals as d on a.opportunity_id = d.opportunity_id
    where a.is_two_way and a.occurred_at <= d.as_of_at

),

states as (

    select
        s.opportunity_id,
        s.state_number,
        {{ business_date('s.valid_from_at') }} as state_date,
        s.outcome,
        s.next_step,
        s.next_step_date,
        s.close_date,
        lag(s.next_step) over (partition by s.opportunity_id order by s.state_number) as next_step_before,
        lag(s.next_step_date) over (partition by s.opportunity_id order by s.state_number) as next_step_date_before,
        lag(s.close_date) over (partition by s.opportunity_id order by s.state_number) as close_date_before,
        lag(s.close_date) over (partition by s.opportunity_id, s.close_date is null order by s.state_number) as close_date_told_before
    from {{ ref('fct_opportunity_states') }} as s
    inner join deals as d on s.opportunity_id = d.opportunity_id

),

changes as (

    -- the state in which each thing became what it still is
    select
        opportunity_id,
        {%- for thing, changed in {
            'next_step': "next_step is distinct from next_step_before or next_step_date is distinct from next_step_date_before",
            'close_date': "close_date is distinct from close_date_before",
            'last_push': "outcome = 'open' and close_date > close_date_told_before"
        }.items() %}
        {%- set changed = changed if thing == 'last_push' else 'state_number = 1 or ' ~ changed %}
        max(case when {{ changed }} then state_number end) as {{ thing }}_state_number,
        max(case when {{ changed }} then state_date end) as {{ thing }}_state_date{{ ',' if not loop.last }}
        {%- endfor %}
    from states
    group by opportunity_id

),

measured as (

    select
        d.*,
        q.fiscal_quarter as target_fiscal_quarter,
        q.quarter_start_date as target_quarter_start_date,
        s.stay_id,
        s.stay_number,
        s.entered_date as stage_entered_date,
        s.days_in_stage,
        coalesce(p.won_stay_count, 0) as won_stay_count,
        case when p.won_stay_count >= {{ var('minimum_n') }} then p.p75_days end as stage_p75_days,
        t.activity_id as last_two_way_activity_id,
        t.activity_date as last_two_way_date,
        c.next_step_state_number,
        c.next_step_state_date,
        c.close_date_state_number,
        c.close_date_state_date,
        c.last_push_state_number,
        c.last_push_state_date
    from deals as d
    inner join changes as c on d.opportunity_id = c.opportunity_id
    left join {{ ref('dim_dates') }} as q on d.close_date = q.date_day
    left join {{ ref('fct_stage_stays') }} as s on d.opportunity_id = s.opportunity_id and s.exited_at is null
    left join paces as p on d.pipeline = p.pipeline and d.stage = p.stage
    left join touches as t on d.opportunity_id = t.opportunity_id and t.recency = 1

),

flagged as (

    select
        *,
        days_in_stage > stage_p75_days as is_slow_in_stage,
        {{ days_between('coalesce(last_two_way_date, created_date)', 'as_of_date') }} > {{ var('stall_days') }} as is_silent,
        coalesce(trim(next_step), '') = '' and next_step_date is null as is_next_step_missing,
        coalesce(next_step_date < as_of_date, false) as is_next_step_past,
        push_count >= {{ var('push_limit') }} as is_pushed_often,
        coalesce(close_date < as_of_date, false) as is_overdue
    from measured

),

counted as (

    select
        *,
        {% for flag in ['is_slow_in_stage', 'is_silent', 'is_next_step_missing', 'is_next_step_past', 'is_pushed_often', 'is_overdue'] -%}
        case when {{ flag }} then 1 else 0 end{{ ' + ' if not loop.last }}
        {%- endfor %} as flag_count
    from flagged

)

select
    opportunity_id,
    opportunity_name,
    account_id,
    rep_id,
    team,
    segment,
    pipeline,
    stage,
    forecast_category,
    is_in_pipeline,
    close_date,
    coalesce(target_fiscal_quarter, 'unscheduled') as target_fiscal_quarter,
    target_quarter_start_date,
    amount,
    currency_code,
    amount_base,
    is_slow_in_stage,
    stay_id,
    stay_number,
    stage_entered_date,
    days_in_stage,
    cast(stage_p75_days as decimal(18, 4)) as stage_p75_days,
    cast(won_stay_count as bigint) as won_stay_count,
    won_stay_count < {{ var('minimum_n') }} as is_small_sample,
    is_silent,
    last_two_way_activity_id,
    last_two_way_date,
    {{ days_between('last_two_way_date', 'as_of_date') }} as days_since_two_way,
    {{ days_between('coalesce(last_two_way_date, created_date)', 'as_of_date') }} as silent_days,
    is_next_step_missing,
    is_next_step_past,
    next_step,
    next_step_date,
    next_step_state_number,
    next_step_state_date,
    is_pushed_often,
    push_count,
    slip_count,
    last_push_state_number,
    last_push_state_date,
    is_overdue,
    cast(case when is_overdue then {{ days_between('close_date', 'as_of_date') }} else 0 end as integer) as days_overdue,
    close_date_state_number,
    close_date_state_date,
    flag_count >= {{ var('stalled_flags') }} as is_stalled,
    cast(flag_count as integer) as flag_count,
    as_of_date
from counted
