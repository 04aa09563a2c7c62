-- One row per rep, team, segment and lock that is not frozen yet: won so far in the lock's quarter, as known then, and the quarter's
-- quota. A win stands where the rep was on its booking date, a quota where the rep is on its days.
{{ config(schema='intermediate') }}

with locks as (

    select * from {{ ref('int_locks_due') }}

),

wins as (

    select l.lock_date, s.credited_rep_id as rep_id, s.amount, s.currency_code, s.booking_date
    from {{ ref('fct_opportunity_states') }} as s
    inner join {{ ref('dim_dates') }} as d on s.booking_date = d.date_day
    inner join locks as l
        on d.quarter_start_date = l.quarter_start_date and s.booking_date <= l.lock_date and {{ stands_at('s', 'l.lock_at') }}
    left join {{ ref('int_opportunities_told_late') }} as t on s.opportunity_id = t.opportunity_id and l.lock_at = t.lock_at
    where s.outcome = 'won' and {{ is_live('s') }} and t.opportunity_id is null
    union all
    select l.lock_date, s.credited_rep_id, s.amount, s.currency_code, s.booking_date
    from {{ ref('int_opportunity_states_locked') }} as s
    inner join locks as l
        on s.lock_at = l.lock_at and s.booking_date >= l.quarter_start_date and s.booking_date <= l.lock_date and {{ stands_at('s', 'l.lock_at') }}
    where s.outcome = 'won' and {{ is_live('s') }}

),

stints as (

    -- days on the job; what is dated after the lock was not known, so the rest of the quarter counts whole
    select
        l.lock_date,
        l.quarter_start_date,
        l.quarter_end_date,
        r.rep_id,
        coalesce(r.team, 'unassigned') as team,
        coalesce(r.segment, 'unassigned') as segment,
        greatest(r.valid_from_date, l.quarter_start_date) as from_date,
        case when r.valid_to_date <= l.lock_date then {{ plus_days('r.valid_to_date', -1) }} else l.quarter_end_date end as to_date
    from {{ ref('dim_reps') }} as r
    inner join locks as l on r.valid_from_date <= l.lock_date
    where r.status <> 'left'

),

quotas as (

    -- as fct_quota_periods has it, to the cent, from who was on the job as known at the lock
    select
        s.lock_date,
        s.rep_id,
        s.team,
        s.segment,
        round(q.quota_amount_base * ({{ days_between('q.period_start_date', 'least(q.period_end_date, s.to_date)') }} + 1)
            / nullif({{ days_between('q.period_start_date', 'q.period_end_date') }} + 1, 0), 2)
        - round(q.quota_amount_base * {{ days_between('q.period_start_date', 'greatest(q.period_start_date, s.from_date)') }}
            / nullif({{ days_between('q.period_start_date', 'q.period_end_date') }} + 1, 0), 2) as quota_amount
    from {{ ref('fct_quotas') }} as q
    inner join stints as s on q.rep_id = s.rep_id and q.period_start_date <= s.to_date and q.period_end_date >= s.from_date
    where q.quota_type = 'full' and not q.has_reports and s.from_date <= s.to_date
    union all
    -- a team's own, and somebody's whom only a quota names: nobody comes or leaves
    select l.lock_date, p.rep_id, p.team, p.segment, p.full_quota_amount
    from {{ ref('fct_quota_periods') }} as p
    inner join locks as l on p.quarter_start_date = l.quarter_start_date
    left join (select distinct rep_id from {{ ref('dim_reps') }}) as r on p.rep_id = r.rep_id
    where p.period_type = 'quarter' and r.rep_id is null

),

parts as (

    select
        w.lock_date,
        w.rep_id,
        coalesce(a.team, 'unassigned') as team,
        coalesce(a.segment, 'unassigned') as segment,
        {{ booked_amount('w') }} as won_amount,
        1 as won_count,
        0 as quota_amount
    from wins as w
    {{ booking_rates('w') }}
    left join {{ ref('int_rep_attributes') }} as a on w.rep_id = a.rep_id and {{ holds_on('a', 'w.booking_date') }}
    union all
    select lock_date, rep_id, team, segment, 0, 0, quota_amount
    from quotas

)

select
    p.lock_date,
    l.fiscal_quarter,
    l.quarter_start_date,
    p.rep_id,
    p.team,
    p.segment,
    cast(sum(p.won_amount) as decimal(18, 2)) as won_amount,
    cast(sum(p.won_count) as bigint) as won_count,
    cast(sum(p.quota_amount) as decimal(18, 2)) as quota_amount
from parts as p
inner join locks as l on p.lock_date = l.lock_date
group by p.lock_date, l.fiscal_quarter, l.quarter_start_date, p.rep_id, p.team, p.segment
