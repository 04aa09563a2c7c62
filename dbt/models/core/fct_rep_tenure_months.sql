-- One row per rep spell and tenure month begun: what was won in it on the rep's own deals, and the full quota of those days.
-- Month k runs from the (k-1)th monthly anniversary of the first day as a rep to the day before the kth; an anniversary that
-- a short month lacks falls on its last day.

{%- set overlap_start = 'greatest(q.period_start_date, m.month_start_date)' %}
{%- set overlap_end = 'least(q.period_end_date, m.month_end_date)' %}
{%- set overlap_days = '(' ~ days_between(overlap_start, overlap_end) ~ ' + 1)' %}

with spells as (

    select
        r.rep_id,
        r.spell_number,
        n.as_of_date,
        {{ business_date('n.history_starts_at') }} as history_start_date,
        min(case when r.role = 'rep' then r.valid_from_date end) as start_date,
        max(case when r.spell_end_date <= n.as_of_date then r.spell_end_date end) as spell_end_date,
        max(case when r.role = 'rep' then coalesce(r.valid_to_date, date '9999-12-31') end) as role_to_date
    from {{ ref('dim_reps') }} as r
    cross join {{ ref('int_as_of') }} as n
    where r.status <> 'left' and r.valid_from_date <= n.as_of_date
    group by r.rep_id, r.spell_number, n.as_of_date, n.history_starts_at

),

ends as (

    -- who takes another role stops being observed as a rep, but has not left
    select
        *,
        case
            when role_to_date <= as_of_date and (spell_end_date is null or role_to_date <= spell_end_date) then 'changed_role'
            when spell_end_date is not null then 'left'
        end as end_kind
    from spells
    where start_date is not null

),

tenures as (

    select
        e.rep_id,
        e.spell_number,
        e.as_of_date,
        e.start_date,
        case e.end_kind
            when 'left' then e.spell_end_date
            when 'changed_role' then {{ plus_days('e.role_to_date', -1) }}
        end as end_date,
        e.end_kind,
        case when e.end_kind = 'left' then coalesce(l.end_reason, 'other') end as end_reason,
        coalesce(a.team, 'unassigned') as team,
        coalesce(a.segment, 'unassigned') as segment,
        d.fiscal_quarter as hire_quarter,
        d.quarter_start_date as hire_quarter_start_date,
        e.history_start_date,
        -- who was there when the history starts may have come on any earlier day
        e.start_date <= e.history_start_date as is_left_truncated
    from ends as e
    inner join {{ ref('dim_dates') }} as d on e.start_date = d.date_day
    inner join {{ ref('dim_reps') }} as a
        on e.rep_id = a.rep_id and e.spell_number = a.spell_number and e.start_date = a.valid_from_date and a.status <> 'left'
    left join (
        select rep_id, spell_number, max(end_reason) as end_reason
        from {{ ref('dim_reps') }}
        group by rep_id, spell_number
    ) as l on e.rep_id = l.rep_id and e.spell_number = l.spell_number

),

months as (

    select
        t.*,
        m.number + 1 as tenure_month,
        {{ plus_months('t.start_date', 'm.number') }} as month_start_date,
        {{ plus_days(plus_months('t.start_date', '(m.number + 1)'), -1) }} as month_end_date
    from tenures as t
    inner join {{ number_rows(1200) }} as m
        on m.number <= {{ months_between('t.start_date', 'coalesce(t.end_date, t.as_of_date)') }}
    where {{ plus_months('t.start_date', 'm.number') }} <= coalesce(t.end_date, t.as_of_date)

),

full_quotas as (

    select
        rep_id,
        period_start_date,
        period_end_date,
        quota_amount_base,
        {{ days_between('period_start_date', 'period_end_date') }} + 1 as period_days
    from {{ ref('fct_quotas') }}
    where quota_type = 'full' and not has_reports and rep_id in (select rep_id from tenures)

),

segment_quotas as (

    -- what stands in for a rep without a quota: the median of the segment's reps with the same period
    select
        a.segment,
        q.period_start_date,
        q.period_end_date,
        q.period_days,
        {{ percentile('q.quota_amount_base', 0.5) }} as quota_amount_base
    from full_quotas as q
    inner join {{ ref('int_rep_attributes') }} as a
        on q.rep_id = a.rep_id
        and {{ holds_on('a', 'q.period_start_date') }}
    group by a.segment, q.period_start_date, q.period_end_date, q.period_days

),

own_quotas as (

    select
        m.rep_id,
        m.spell_number,
        m.tenure_month,
        sum(q.quota_amount_base * {{ overlap_days }} / q.period_days) as quota_amount_base,
        sum({{ overlap_days }}) as covered_days
    from months as m
    inner join full_quotas as q
        on m.rep_id = q.rep_id and q.period_start_date <= m.month_end_date and q.period_end_date >= m.month_start_date
    group by m.rep_id, m.spell_number, m.tenure_month

),

stand_in_quotas as (

    select
        m.rep_id,
        m.spell_number,
        m.tenure_month,
        sum(q.quota_amount_base * {{ overlap_days }} / q.period_days) as quota_amount_base,
        sum({{ overlap_days }}) as covered_days
    from months as m
    inner join {{ ref('int_rep_attributes') }} as a
        on m.rep_id = a.rep_id
        and {{ holds_on('a', 'm.month_start_date') }}
    inner join segment_quotas as q
        on a.segment = q.segment and q.period_start_date <= m.month_end_date and q.period_end_date >= m.month_start_date
    group by m.rep_id, m.spell_number, m.tenure_month

),

bookings as (

    -- inherited deals are somebody else's: the first owner in pipeline counts. What was won stays won in its month, reopened later or not
    select
        m.rep_id,
        m.spell_number,
        m.tenure_month,
        sum(b.won_amount_base) as won_amount_base
    from months as m
    inner join {{ ref('fct_opportunities') }} as o on m.rep_id = o.first_pipeline_rep_id
    inner join {{ ref('fct_bookings') }} as b
        on o.opportunity_id = b.opportunity_id
        and b.booking_date >= m.month_start_date
        and b.booking_date <= least(m.month_end_date, coalesce(m.end_date, m.month_end_date))
    where b.won_amount_base > 0
    group by m.rep_id, m.spell_number, m.tenure_month

),

measured as (

    -- a month that the rep's own quotas do not cover whole takes the segment's; one that neither covers has none
    select
        m.*,
        m.month_end_date <= m.as_of_date as is_finished,
        m.month_end_date <= m.as_of_date and (m.end_date is null or m.month_end_date <= m.end_date) as is_worked_whole,
        coalesce(m.end_date between m.month_start_date and m.month_end_date, false) as is_last_month,
        coalesce(b.won_amount_base, 0) as won_amount_base,
        cast(round(case
            when o.covered_days >= {{ days_between('m.month_start_date', 'm.month_end_date') }} + 1 then o.quota_amount_base
            when s.covered_days >= {{ days_between('m.month_start_date', 'm.month_end_date') }} + 1 then s.quota_amount_base
        end, 2) as decimal(18, 2)) as full_quota_amount_base
    from months as m
    left join bookings as b on m.rep_id = b.rep_id and m.spell_number = b.spell_number and m.tenure_month = b.tenure_month
    left join own_quotas as o on m.rep_id = o.rep_id and m.spell_number = o.spell_number and m.tenure_month = o.tenure_month
    left join stand_in_quotas as s on m.rep_id = s.rep_id and m.spell_number = s.spell_number and m.tenure_month = s.tenure_month

),

trailed as (

    select
        *,
        sum(won_amount_base) over trailing_three as trailing_won_amount_base,
        case when count(full_quota_amount_base) over trailing_three = 3
            then nullif(sum(full_quota_amount_base) over trailing_three, 0)
        end as trailing_full_quota_amount_base
    from measured
    window trailing_three as (partition by rep_id, spell_number order by tenure_month rows between 2 preceding and current row)

)

select
    rep_id,
    spell_number,
    tenure_month,
    month_start_date,
    month_end_date,
    start_date,
    end_date,
    end_kind,
    end_reason,
    hire_quarter,
    hire_quarter_start_date,
    history_start_date,
    team,
    segment,
    is_left_truncated,
    is_finished,
    is_worked_whole,
    is_last_month,
    cast(won_amount_base as decimal(18, 2)) as won_amount_base,
    full_quota_amount_base,
    cast(trailing_won_amount_base as decimal(18, 2)) as trailing_won_amount_base,
    cast(trailing_full_quota_amount_base as decimal(18, 2)) as trailing_full_quota_amount_base,
    is_worked_whole
    and tenure_month >= {{ var('ramp_first_month') }}
    and trailing_full_quota_amount_base is not null as is_measured,
    coalesce(
        is_worked_whole
        and tenure_month >= {{ var('ramp_first_month') }}
        and trailing_won_amount_base >= {{ var('ramp_target_share') }} * trailing_full_quota_amount_base,
        false
    ) as is_on_target
from trailed
