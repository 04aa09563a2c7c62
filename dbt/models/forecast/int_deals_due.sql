-- One row per open deal and lock that is not frozen yet: the deal as it was known when the lock was taken, and what had happened on it
-- by then. What was learned after the lock is not in it.
{{ config(schema='intermediate') }}

{%- set features = ['stage', 'amount', 'close_date'] %}

with locks as (

    select *, lock_at - interval '30' day as month_before_at from {{ ref('int_locks_due') }}

),

-- whatever stood open at one of these locks or later
deals_open_since as (

    {%- for states in ['fct_opportunity_states', 'int_opportunity_states_locked'] %}
    select s.opportunity_id
    from {{ ref(states) }} as s
    inner join (select min(lock_at) as lock_at from locks) as l on coalesce(s.valid_to_at, timestamp '9999-12-31 00:00:00') > l.lock_at
    where s.outcome = 'open'
    {{ 'union' if not loop.last }}
    {%- endfor %}

),

{#- the states as they were told, and those of deals told late as each lock knew them, each with what had happened by then #}
{%- for states, key in [('fct_opportunity_states', 'opportunity_id'), ('int_opportunity_states_locked', 'opportunity_id, lock_at')] %}
{%- set so_far = 'over (partition by ' ~ key ~ ' order by valid_from_at rows unbounded preceding)' %}

{{ states }}_counted as (

    select
        *,
        min(valid_from_at) over (partition by {{ key }}) as first_valid_from_at,
        max(learned_at) {{ so_far }} as newest_learned_at,
        max(case when stage_before is null or stage_before <> pipeline || '/' || stage then valid_from_at end) {{ so_far }} as stage_since_at,
        sum(case when outcome = 'open' and close_date > close_date_before then 1 else 0 end) {{ so_far }} as push_count,
        sum(case when outcome = 'open' and close_quarter_start_date > close_quarter_start_date_before then 1 else 0 end) {{ so_far }} as slip_count
    from (
        select
            s.*,
            lag(s.pipeline || '/' || s.stage) over (partition by {{ key }} order by s.valid_from_at) as stage_before,
            lag(s.close_date) over (partition by {{ key }}, s.close_date is null order by s.valid_from_at) as close_date_before,
            d.quarter_start_date as close_quarter_start_date,
            lag(d.quarter_start_date) over (partition by {{ key }}, s.close_date is null order by s.valid_from_at) as close_quarter_start_date_before
        from {{ ref(states) }} as s
        left join {{ ref('dim_dates') }} as d on s.close_date = d.date_day
        where s.opportunity_id in (select opportunity_id from deals_open_since)
    ) as told

),
{%- endfor %}

deals as (

    {#- how a deal and a lock find their state; the second copy is of the month before #}
    {%- set columns -%}
        s.opportunity_id, s.source_system, s.pipeline, s.stage, s.stage_order, s.is_known_stage, s.is_pipeline_stage,
        nullif(s.rep_id, 'unassigned') as rep_id, s.account_id, s.amount, s.currency_code, s.close_date, s.forecast_category, s.probability,
        s.next_step, s.next_step_date, s.champion, s.economic_buyer, s.budget_confirmed, s.decision_timeline, s.competitor,
        s.push_count, s.slip_count, s.stage_since_at, s.is_reconstructed, s.reconstructed_fields, s.newest_learned_at
    {%- endset %}
    select l.*, {{ columns }}, b.amount as amount_before, b.currency_code as currency_code_before, b.reconstructed_fields as reconstructed_fields_before
    from fct_opportunity_states_counted as s
    inner join locks as l on {{ stands_at('s', 'l.lock_at') }}
    left join {{ ref('int_opportunities_told_late') }} as t on s.opportunity_id = t.opportunity_id and l.lock_at = t.lock_at
    left join {{ ref('fct_opportunity_states') }} as b
        on s.opportunity_id = b.opportunity_id and {{ holds_at('b', 'greatest(l.month_before_at, s.first_valid_from_at)') }}
    where s.outcome = 'open' and {{ is_live('s') }} and t.opportunity_id is null
    union all
    select l.*, {{ columns }}, b.amount, b.currency_code, b.reconstructed_fields
    from int_opportunity_states_locked_counted as s
    inner join locks as l on s.lock_at = l.lock_at and {{ stands_at('s', 'l.lock_at') }}
    left join {{ ref('int_opportunity_states_locked') }} as b
        on s.opportunity_id = b.opportunity_id and s.lock_at = b.lock_at
        and {{ holds_at('b', 'greatest(l.month_before_at, s.first_valid_from_at)') }}
    where s.outcome = 'open' and {{ is_live('s') }}

),

activities as (

    select opportunity_id, type, direction, outcome, activity_date, {{ business_date('learned_at') }} as known_date
    from {{ ref('fct_activities') }}
    where is_completed and opportunity_id in (select opportunity_id from deals)

),

events as (

    -- what came to be known of a deal on a day, and its locks. What was put down more than 30 days late is in no month's count. An
    -- outbound e-mail is no two-way touch: its answer is, on the day it came
    select
        a.opportunity_id,
        a.known_date,
        case when a.known_date < {{ plus_days('a.activity_date', 30) }} then 1 else 0 end as is_activity,
        case when a.known_date < {{ plus_days('a.activity_date', 30) }} and {{ is_two_way_by_itself('a') }} then 1 else 0 end as is_two_way,
        case when a.known_date < {{ plus_days('a.activity_date', 30) }} and a.type in ('meeting', 'demo') then 1 else 0 end as is_meeting,
        0 as is_contact,
        case when {{ is_two_way_by_itself('a') }} then a.activity_date end as two_way_date,
        cast(null as date) as lock_date
    from activities as a
    union all
    select opportunity_id, {{ business_date('min(learned_at)') }}, 0, 0, 0, 1, null, null
    from {{ ref('int_opportunity_contacts') }}
    where learned_at is not null and opportunity_id in (select opportunity_id from deals)
    group by opportunity_id, contact_id
    union all
    select opportunity_id, lock_date, 0, 0, 0, 0, null, lock_date
    from deals

),

days as (

    select
        opportunity_id,
        -- a number, by which DuckDB sorts once for both windows
        {{ day_number('known_date') }} as known_day,
        sum(is_activity) as activity_count,
        sum(is_two_way) as two_way_count,
        sum(is_meeting) as meeting_count,
        sum(is_contact) as contact_count,
        max(two_way_date) as last_two_way_date,
        max(lock_date) as lock_date
    from events
    group by opportunity_id, known_date

),

touches as (

    select * from (
        select
            opportunity_id,
            lock_date,
            sum(activity_count) over month_to_date as activity_count,
            sum(two_way_count) over month_to_date as two_way_count,
            sum(meeting_count) over month_to_date as meeting_count,
            sum(contact_count) over to_date as contact_count,
            max(last_two_way_date) over to_date as last_two_way_date
        from days
        window
            to_date as (partition by opportunity_id order by known_day),
            month_to_date as (partition by opportunity_id order by known_day range between 29 preceding and current row)
    ) as counted
    where lock_date is not null

),

active_reps as (

    select l.lock_date, r.rep_id, max(case when r.status = 'left' then 0 else 1 end) as is_active
    from {{ ref('dim_reps') }} as r
    inner join locks as l on {{ holds_on('r', 'l.lock_date') }}
    group by l.lock_date, r.rep_id

),

told as (

    select
        d.*,
        {%- for field in features %}
        coalesce(',' || d.reconstructed_fields || ',' like '%,{{ field }},%', false) as is_{{ field }}_reconstructed,
        {%- endfor %}
        coalesce(',' || d.reconstructed_fields_before || ',' like '%,amount,%', false) as is_amount_before_reconstructed
    from deals as d

)

select
    d.opportunity_id,
    d.lock_date,
    d.fiscal_quarter,
    d.quarter_start_date,
    d.quarter_end_date,
    d.week_of_quarter,
    {{ days_between('d.lock_date', 'd.quarter_end_date') }} as days_left_in_quarter,
    d.source_system,
    d.pipeline,
    d.stage,
    d.stage_order,
    d.is_known_stage,
    d.is_pipeline_stage,
    d.rep_id,
    coalesce(a.team, 'unassigned') as team,
    coalesce(a.segment, 'unassigned') as segment,
    coalesce(p.is_active, 0) = 1 as is_rep_active,
    d.account_id,
    d.amount,
    d.currency_code,
    r.rate_to_base,
    r.rate_to_base is not null as has_rate,
    {{ cents('coalesce(d.amount, 0)', 'coalesce(r.rate_to_base, 0)') }} as amount_base,
    cast(case when not d.is_amount_reconstructed and not d.is_amount_before_reconstructed then
        {{ cents('coalesce(d.amount, 0)', 'coalesce(r.rate_to_base, 0)') }} - {{ cents('coalesce(d.amount_before, 0)', 'coalesce(b.rate_to_base, 0)') }}
    end as decimal(18, 2)) as amount_change_30d,
    d.close_date,
    coalesce(d.close_date < d.lock_date, false) as is_overdue,
    case when not d.is_close_date_reconstructed then {{ days_between('d.lock_date', 'd.close_date') }} end as days_to_close,
    coalesce(d.forecast_category, s.default_forecast_category, 'pipeline') as forecast_category,
    cast(coalesce(d.probability, s.default_probability) as decimal(9, 4)) as probability,
    {{ business_date('i.created_at') }} as created_date,
    {{ days_between(business_date('i.created_at'), 'd.lock_date') }} as days_open,
    case when not d.is_stage_reconstructed then {{ days_between(business_date('d.stage_since_at'), 'd.lock_date') }} end as days_in_stage,
    d.next_step,
    d.next_step_date,
    coalesce(trim(d.next_step), '') <> '' or d.next_step_date is not null as has_next_step,
    coalesce(d.next_step_date < d.lock_date, false) as is_next_step_past,
    d.champion,
    d.economic_buyer,
    d.budget_confirmed,
    d.decision_timeline,
    d.competitor,
    cast(case when not d.is_close_date_reconstructed then d.push_count end as integer) as push_count,
    cast(case when not d.is_close_date_reconstructed then d.slip_count end as integer) as slip_count,
    cast(coalesce(t.activity_count, 0) as integer) as activity_count_30d,
    cast(coalesce(t.two_way_count, 0) as integer) as two_way_count_30d,
    cast(coalesce(t.meeting_count, 0) as integer) as meeting_count_30d,
    {{ days_between('t.last_two_way_date', 'd.lock_date') }} as days_since_two_way,
    cast(coalesce(t.contact_count, 0) as integer) as contact_count,
    d.is_reconstructed,
    d.reconstructed_fields,
    d.is_backfilled,
    d.newest_learned_at as learned_at
from told as d
inner join {{ ref('int_opportunities') }} as i on d.opportunity_id = i.opportunity_id
inner join touches as t on d.opportunity_id = t.opportunity_id and d.lock_date = t.lock_date
left join {{ ref('int_stages') }} as s
    on d.source_system = s.source_system and d.pipeline = s.pipeline and d.stage = s.stage and {{ stands_at('s', 'd.lock_at') }}
left join {{ ref('int_rep_attributes') }} as a on d.rep_id = a.rep_id and {{ holds_on('a', 'd.lock_date') }}
left join active_reps as p on d.rep_id = p.rep_id and d.lock_date = p.lock_date
left join {{ ref('int_valuation_rates') }} as r on d.currency_code = r.currency_code and {{ holds_on('r', 'd.lock_date') }}
left join {{ ref('int_valuation_rates') }} as b on d.currency_code_before = b.currency_code and {{ holds_on('b', 'd.lock_date') }}
