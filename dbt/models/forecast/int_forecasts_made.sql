-- One row per method, lock (without one for `actual`), person, team and segment: what was forecast for the lock's quarter from what was
-- known at the lock, and, as methods `won` and `actual`, what was won by then and in the whole quarter, as known when it settled.
{{ config(schema='intermediate') }}

with locks as (

    select * from {{ ref('int_locks') }} where not is_settlement

),

settled as (

    select * from {{ ref('int_locks') }} where is_settlement

),

open_states as (

    -- a state stands at the ends of the weeks from the one it begins in to the one before it is replaced, and counts from the
    -- quarter it is to close in
    select *
    from (
        select
            s.opportunity_id,
            s.source_system,
            s.pipeline,
            s.stage,
            s.rep_id,
            s.amount,
            s.currency_code,
            s.probability,
            greatest(f.week_end_date, coalesce(q.quarter_start_date, s.close_date)) as first_lock_date,
            coalesce({{ plus_days('t.week_end_date', -7) }}, date '9999-12-31') as last_lock_date
        from {{ ref('fct_opportunity_states') }} as s
        inner join {{ ref('dim_dates') }} as f on {{ business_date('s.valid_from_at') }} = f.date_day
        left join {{ ref('dim_dates') }} as t on {{ business_date('s.valid_to_at') }} = t.date_day
        left join {{ ref('dim_dates') }} as q on s.close_date = q.date_day
        where s.is_in_pipeline and s.close_date is not null
    ) as spans
    where first_lock_date <= last_lock_date

),

open_deals as (

    select l.lock_date, l.lock_at, s.source_system, s.pipeline, s.stage, s.rep_id, s.amount, s.currency_code, s.probability
    from open_states as s
    inner join locks as l on l.lock_date >= s.first_lock_date and l.lock_date <= s.last_lock_date
    left join {{ ref('int_opportunities_told_late') }} as t on s.opportunity_id = t.opportunity_id and l.lock_at = t.lock_at
    where t.opportunity_id is null
    union all
    select l.lock_date, l.lock_at, s.source_system, s.pipeline, s.stage, s.rep_id, s.amount, s.currency_code, s.probability
    from {{ ref('int_opportunity_states_locked') }} as s
    inner join locks as l on s.lock_at = l.lock_at and s.close_date <= l.quarter_end_date
    where s.is_in_pipeline and {{ stands_at('s', 'l.lock_at') }}

),

weighted as (

    select
        o.lock_date,
        o.rep_id,
        coalesce(a.team, 'unassigned') as team,
        coalesce(a.segment, 'unassigned') as segment,
        sum({{ cents(cents('coalesce(o.amount, 0)', 'coalesce(r.rate_to_base, 0)'), 'coalesce(o.probability, g.default_probability, 0)') }}) as amount
    from open_deals as o
    left join {{ ref('int_stages') }} as g
        on o.source_system = g.source_system and o.pipeline = g.pipeline and o.stage = g.stage
        and {{ stands_at('g', 'o.lock_at') }}
    left join {{ ref('int_valuation_rates') }} as r on o.currency_code = r.currency_code and {{ holds_on('r', 'o.lock_date') }}
    left join {{ ref('int_rep_attributes') }} as a on o.rep_id = a.rep_id and {{ holds_on('a', 'o.lock_date') }}
    group by o.lock_date, o.rep_id, coalesce(a.team, 'unassigned'), coalesce(a.segment, 'unassigned')

),

days as (

    -- the days of a lock's quarter that it has seen
    select d.date_day, l.lock_date, l.lock_at
    from locks as l
    inner join {{ ref('dim_dates') }} as d on l.quarter_start_date = d.quarter_start_date and d.date_day <= l.lock_date

),

wins as (

    -- won by the end of a week, as known then
    select l.lock_date, s.credited_rep_id as rep_id, s.amount, s.currency_code, s.booking_date
    from {{ ref('fct_opportunity_states') }} as s
    inner join days as l on s.booking_date = l.date_day and {{ stands_at('s', 'l.lock_at') }}
    left join {{ ref('int_opportunities_told_late') }} as t on s.opportunity_id = t.opportunity_id and l.lock_at = t.lock_at
    where s.outcome = 'won' and not s.is_deleted and s.merged_into_id is null and not s.is_excluded and t.opportunity_id is null
    union all
    select l.lock_date, s.credited_rep_id, s.amount, s.currency_code, s.booking_date
    from {{ ref('int_opportunity_states_locked') }} as s
    inner join locks as l
        on s.lock_at = l.lock_at and s.booking_date >= l.quarter_start_date and s.booking_date <= l.lock_date and {{ stands_at('s', 'l.lock_at') }}
    where s.outcome = 'won' and not s.is_deleted and s.merged_into_id is null and not s.is_excluded

),

bookings as (

    -- won in the quarter, as known when it settled
    select q.quarter_start_date, c.rep_id, c.amount, c.currency_code, c.booking_date
    from {{ ref('fct_closings') }} as c
    inner join settled as q on c.quarter_start_date = q.quarter_start_date and c.recorded_at < q.lock_at
    left join {{ ref('int_opportunities_told_late') }} as t on c.opportunity_id = t.opportunity_id and q.lock_at = t.lock_at
    where c.period_type = 'quarter' and c.outcome = 'won' and t.opportunity_id is null
    union all
    select quarter_start_date, rep_id, amount, currency_code, booking_date
    from (
        select
            q.quarter_start_date,
            s.credited_rep_id as rep_id,
            s.amount,
            s.currency_code,
            s.booking_date,
            row_number() over (partition by s.opportunity_id, q.quarter_start_date order by s.valid_from_at) as precedence
        from {{ ref('int_opportunity_states_locked') }} as s
        inner join settled as q
            on s.lock_at = q.lock_at and s.booking_date >= q.quarter_start_date and s.booking_date <= q.quarter_end_date
        where s.outcome = 'won' and not s.is_deleted and s.merged_into_id is null and not s.is_excluded
            and s.valid_from_at < q.lock_at
            and (s.valid_to_at is null or s.valid_to_at >= {{ start_of_business_date(plus_days('q.quarter_end_date', 1)) }})
    ) as told_late
    where precedence = 1

),
{%- for name, relation, key in [('won_by_lock', 'wins', 'lock_date'), ('won_in_quarter', 'bookings', 'quarter_start_date')] %}
{{ name }} as (

    -- at the rate and for the team of the booking date
    select
        w.{{ key }},
        w.rep_id,
        coalesce(a.team, 'unassigned') as team,
        coalesce(a.segment, 'unassigned') as segment,
        count(*) as deal_count,
        sum({{ booked_amount('w') }}) as amount
    from {{ relation }} as w
    {{ booking_rates('w') }}
    left join {{ ref('int_rep_attributes') }} as a on w.rep_id = a.rep_id and {{ holds_on('a', 'w.booking_date') }}
    group by w.{{ key }}, w.rep_id, coalesce(a.team, 'unassigned'), coalesce(a.segment, 'unassigned')

),
{% endfor %}
submissions as (

    -- a call counts from when it was both submitted and learned until a later one is; one learned after a later one never does
    select
        *,
        lead(known_at) over (partition by rep_id, scope, quarter_start_date order by known_at, submitted_at) as next_known_at
    from (
        select
            rep_id,
            scope,
            quarter_start_date,
            commit_amount_base,
            submitted_at,
            greatest(submitted_at, learned_at) as known_at,
            max(submitted_at) over (
                partition by rep_id, scope, quarter_start_date
                order by greatest(submitted_at, learned_at), submitted_at rows unbounded preceding
            ) as latest_submitted_at
        from {{ ref('fct_forecast_calls') }}
    ) as ordered
    where submitted_at = latest_submitted_at

),

calls as (

    -- everybody's latest call of each scope by each lock
    select s.rep_id, s.scope, l.lock_date, s.commit_amount_base
    from submissions as s
    inner join locks as l
        on s.quarter_start_date = l.quarter_start_date
        and s.known_at < l.lock_at and l.lock_at <= coalesce(s.next_known_at, timestamp '9999-12-31 00:00:00')

),

reports as (

    -- what a caller's reports have in common at the lock, and whether they call teams themselves
    select
        c.rep_id,
        c.scope,
        c.lock_date,
        case when min(m.team) = max(m.team) then min(m.team) end as team,
        case when min(m.segment) = max(m.segment) then min(m.segment) end as segment,
        count(r.rep_id) as team_call_count
    from calls as c
    inner join {{ ref('int_rep_assignments') }} as m
        on c.rep_id = m.manager_id and m.status <> 'left' and {{ holds_on('m', 'c.lock_date') }}
    left join calls as r on m.rep_id = r.rep_id and c.lock_date = r.lock_date and r.scope = 'team'
    where c.scope = 'team'
    group by c.rep_id, c.scope, c.lock_date

),

called as (

    -- a manager's call stands in the manager's own team and segment, or, without one, in that of all their reports; a call over
    -- other managers' calls is theirs told once more
    select
        case c.scope when 'own' then 'rep_commit' else 'manager_commit' end as method,
        c.lock_date,
        c.rep_id,
        coalesce(nullif(a.team, 'unassigned'), m.team, 'unassigned') as team,
        coalesce(nullif(a.segment, 'unassigned'), m.segment, 'unassigned') as segment,
        coalesce(c.commit_amount_base, 0) as amount
    from calls as c
    left join {{ ref('int_rep_attributes') }} as a on c.rep_id = a.rep_id and {{ holds_on('a', 'c.lock_date') }}
    left join reports as m on c.rep_id = m.rep_id and c.lock_date = m.lock_date and c.scope = m.scope
    where coalesce(m.team_call_count, 0) = 0

),

told as (

    select method, lock_date, rep_id, team, segment, amount, 1 as call_count, null as deal_count
    from called
    union all
    select 'crm_weighted', lock_date, rep_id, team, segment, sum(amount), null, null
    from (
        select lock_date, rep_id, team, segment, amount from weighted
        union all
        select lock_date, rep_id, team, segment, amount from won_by_lock
    ) as open_and_won
    group by lock_date, rep_id, team, segment
    union all
    select 'won', lock_date, rep_id, team, segment, amount, null, deal_count
    from won_by_lock

)

select t.method, l.quarter_start_date, l.week_of_quarter, t.lock_date, t.rep_id, t.team, t.segment, t.amount, t.call_count, t.deal_count
from told as t
inner join locks as l on t.lock_date = l.lock_date
union all
select 'actual', quarter_start_date, null, null, rep_id, team, segment, amount, null, deal_count
from won_in_quarter
