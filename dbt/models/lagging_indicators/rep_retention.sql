-- Two bases in one table. `quarter`: one row per level and fiscal quarter, headcount of reps and how it moved. `hire_cohort`: one
-- row per hire cohort (fiscal quarter of the start as a rep, and all of them) and tenure month, survival on the job.

with quarters as (

    select
        d.fiscal_quarter,
        d.quarter_start_date,
        d.quarter_end_date,
        least(d.quarter_end_date, n.as_of_date) as last_date,
        {{ plus_days('least(d.quarter_end_date, n.as_of_date)', 1) }} as next_date,
        d.quarter_end_date <= n.as_of_date as is_complete,
        row_number() over (order by d.quarter_start_date) as quarter_number
    from {{ ref('dim_dates') }} as d
    cross join {{ ref('int_as_of') }} as n
    where d.date_day = d.quarter_start_date
        and d.quarter_end_date >= {{ business_date('n.history_starts_at') }}
        and d.quarter_start_date <= n.as_of_date

),

assignments as (

    select
        r.rep_id,
        r.spell_number,
        r.role = 'rep' as is_rep,
        coalesce(r.team, 'unassigned') as team,
        coalesce(r.segment, 'unassigned') as segment,
        r.valid_from_date,
        lead(r.valid_from_date) over (partition by r.rep_id, r.spell_number order by r.valid_from_date) as next_from_date,
        row_number() over (partition by r.rep_id, r.spell_number order by r.valid_from_date) as assignment_number,
        -- who was there when the deal history starts joined before it, whatever day a system gives
        case
            when r.spell_start_date <= {{ business_date('n.history_starts_at') }} then date '1900-01-01'
            else r.spell_start_date
        end as joined_date,
        case when r.spell_end_date <= n.as_of_date then r.spell_end_date end as left_date,
        coalesce(e.end_reason, 'other') as end_reason
    from {{ ref('dim_reps') }} as r
    cross join {{ ref('int_as_of') }} as n
    left join (
        select rep_id, spell_number, max(end_reason) as end_reason
        from {{ ref('dim_reps') }}
        group by rep_id, spell_number
    ) as e on r.rep_id = e.rep_id and r.spell_number = e.spell_number
    where r.status <> 'left' and r.valid_from_date <= n.as_of_date

),

stints as (

    -- where a person stood and until when (exclusive); in another role than rep they stand nowhere
    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        case when is_rep then {{ id }} end as level_id,
        rep_id,
        spell_number,
        assignment_number,
        case when assignment_number = 1 then joined_date else valid_from_date end as from_date,
        coalesce(next_from_date, {{ plus_days('left_date', 1) }}) as to_date,
        joined_date,
        left_date,
        next_from_date is null and left_date is not null as is_left,
        end_reason
    from assignments
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

neighbours as (

    select
        *,
        lag(level_id) over (partition by level, rep_id, spell_number order by assignment_number) as level_id_before,
        lead(level_id) over (partition by level, rep_id, spell_number order by assignment_number) as level_id_after,
        max(case when is_left and level_id is not null then left_date end)
            over (partition by level, rep_id, spell_number) as rep_left_date
    from stints

),

events as (

    -- joining counts on the first day; leaving, and moving away or in, on the last day of what ends
    select level, level_id, rep_id, end_reason, 'joined' as event, from_date as event_date
    from neighbours
    where level_id is not null and assignment_number = 1

    union all

    select level, level_id, rep_id, end_reason, 'moved_in', {{ plus_days('from_date', -1) }}
    from neighbours
    where level_id is not null and assignment_number > 1 and (level_id_before is null or level_id_before <> level_id)

    union all

    select level, level_id, rep_id, end_reason, 'left', left_date
    from neighbours
    where level_id is not null and is_left

    union all

    select level, level_id, rep_id, end_reason, 'moved_out', {{ plus_days('to_date', -1) }}
    from neighbours
    where level_id is not null
        and not is_left
        and to_date is not null
        and (level_id_after is null or level_id_after <> level_id)

),

won as (

    select q.quarter_number, b.rep_id, sum(b.won_amount_base) as won_amount_base
    from quarters as q
    inner join quarters as p on p.quarter_number >= q.quarter_number - 4 and p.quarter_number < q.quarter_number
    inner join {{ ref('fct_bookings') }} as b on p.quarter_start_date = b.quarter_start_date
    where b.rep_id <> 'unassigned' and b.won_amount_base > 0
    group by q.quarter_number, b.rep_id

),

top_tier as (

    -- the reps that together made the first part of what was won in the four quarters before, largest first
    select quarter_number, rep_id
    from (
        select
            *,
            sum(won_amount_base) over (partition by quarter_number) as total_amount_base,
            sum(won_amount_base) over (
                partition by quarter_number order by won_amount_base desc, rep_id rows unbounded preceding
            ) - won_amount_base as larger_amount_base
        from won
    ) as ranked
    where larger_amount_base < {{ var('top_tier_share', 0.5) }} * total_amount_base

),

flows as (

    select
        e.level,
        e.level_id,
        q.quarter_number,
        count(case when e.event = 'joined' then 1 end) as joined_count,
        count(case when e.event = 'moved_in' then 1 end) as moved_in_count,
        count(case when e.event = 'moved_out' then 1 end) as moved_out_count,
        count(case when e.event = 'left' then 1 end) as left_count,
        count(case when e.event = 'left' and e.end_reason = 'voluntary' then 1 end) as voluntary_left_count,
        count(case when e.event = 'left' and e.end_reason = 'involuntary' then 1 end) as involuntary_left_count,
        count(case when e.event = 'left' and e.end_reason not in ('voluntary', 'involuntary') then 1 end) as other_left_count,
        count(case when e.event = 'left' and t.rep_id is not null then 1 end) as top_tier_left_count
    from events as e
    inner join quarters as q on e.event_date >= q.quarter_start_date and e.event_date <= q.last_date
    left join top_tier as t on q.quarter_number = t.quarter_number and e.rep_id = t.rep_id
    group by e.level, e.level_id, q.quarter_number

),

starts as (

    select
        s.level,
        s.level_id,
        q.quarter_number,
        count(*) as headcount_start,
        count(case when s.rep_left_date <= q.last_date then 1 end) as starters_left_count
    from neighbours as s
    inner join quarters as q
        on s.from_date <= q.quarter_start_date
        and (s.to_date > q.quarter_start_date or s.to_date is null)
        and s.joined_date < q.quarter_start_date
    where s.level_id is not null
    group by s.level, s.level_id, q.quarter_number

),

ends as (

    -- counted, not derived: that start plus movements gives the end is tested
    select
        s.level,
        s.level_id,
        q.quarter_number,
        count(*) as headcount_end
    from neighbours as s
    inner join quarters as q
        on s.from_date <= q.next_date
        and (s.to_date > q.next_date or s.to_date is null)
        and s.joined_date < q.next_date
    where s.level_id is not null
    group by s.level, s.level_id, q.quarter_number

),

units as (

    select u.level, u.level_id, q.*
    from (
        select distinct level, level_id from neighbours where level_id is not null
    ) as u
    cross join quarters as q

),

headcounts as (

    select
        u.*,
        coalesce(s.headcount_start, 0) as headcount_start,
        coalesce(s.starters_left_count, 0) as starters_left_count,
        coalesce(x.headcount_end, 0) as headcount_end,
        coalesce(f.joined_count, 0) as joined_count,
        coalesce(f.moved_in_count, 0) as moved_in_count,
        coalesce(f.moved_out_count, 0) as moved_out_count,
        coalesce(f.left_count, 0) as left_count,
        coalesce(f.voluntary_left_count, 0) as voluntary_left_count,
        coalesce(f.involuntary_left_count, 0) as involuntary_left_count,
        coalesce(f.other_left_count, 0) as other_left_count,
        coalesce(f.top_tier_left_count, 0) as top_tier_left_count
    from units as u
    left join starts as s on u.level = s.level and u.level_id = s.level_id and u.quarter_number = s.quarter_number
    left join ends as x on u.level = x.level and u.level_id = x.level_id and u.quarter_number = x.quarter_number
    left join flows as f on u.level = f.level and u.level_id = f.level_id and u.quarter_number = f.quarter_number

),

attritions as (

    select
        *,
        case when count(*) over four = 4 then sum(left_count) over four end as left_count_trailing_four_quarters,
        case when count(*) over four = 4 then avg(0.5e0 * (headcount_start + headcount_end)) over four end as average_headcount
    from headcounts
    window four as (partition by level, level_id order by quarter_number rows between 3 preceding and current row)

),

observed as (

    -- a tenure month counts when it is over and was watched whole: from the start of the history on, and as a rep. A spell begun
    -- before the history comes in late, and only among all, for those hired with it who had left by then are unknown
    {%- set has_left = "m.is_last_month and m.end_kind = 'left'" %}
    select
        c.hire_quarter,
        m.tenure_month,
        count(*) as at_risk_count,
        count(case when {{ has_left }} then 1 end) as event_count,
        count(case when {{ has_left }} and m.end_reason = 'voluntary' then 1 end) as voluntary_left_count,
        count(case when {{ has_left }} and m.end_reason = 'involuntary' then 1 end) as involuntary_left_count
    from {{ ref('fct_rep_tenure_months') }} as m
    inner join (
        select hire_quarter from {{ ref('fct_rep_tenure_months') }} where not is_left_truncated
        union
        select 'all'
    ) as c on c.hire_quarter = 'all' or (c.hire_quarter = m.hire_quarter and not m.is_left_truncated)
    where m.is_finished
        and m.month_start_date >= m.history_start_date
        and (m.is_worked_whole or m.end_kind = 'left')
    group by c.hire_quarter, m.tenure_month

),

cohorts as (

    select
        hire_quarter,
        min(hire_quarter_start_date) as hire_quarter_start_date,
        count(*) as spell_count
    from (
        select distinct rep_id, spell_number, hire_quarter, hire_quarter_start_date
        from {{ ref('fct_rep_tenure_months') }}
        where not is_left_truncated
    ) as hired
    group by hire_quarter

    union all

    select 'all', null, count(*)
    from (select distinct rep_id, spell_number from {{ ref('fct_rep_tenure_months') }}) as hired

),

survivals as (

    -- survival runs on from month one without a gap, or is not known
    select
        *,
        row_number() over (partition by hire_quarter order by tenure_month) = tenure_month as is_known
    from {{ kaplan_meier('observed', 'hire_quarter', 'tenure_month') }} as curve

)

select
    'quarter' as basis,
    level,
    level_id,
    fiscal_quarter,
    quarter_start_date,
    cast(null as varchar) as hire_quarter,
    cast(null as date) as hire_quarter_start_date,
    cast(null as integer) as tenure_month,
    is_complete,
    cast(headcount_start as bigint) as headcount_start,
    cast(joined_count as bigint) as joined_count,
    cast(moved_in_count as bigint) as moved_in_count,
    cast(moved_out_count as bigint) as moved_out_count,
    cast(left_count as bigint) as left_count,
    cast(headcount_end as bigint) as headcount_end,
    cast(voluntary_left_count as bigint) as voluntary_left_count,
    cast(involuntary_left_count as bigint) as involuntary_left_count,
    cast(other_left_count as bigint) as other_left_count,
    cast(top_tier_left_count as bigint) as top_tier_left_count,
    cast(headcount_start - starters_left_count as bigint) as retained_count,
    cast(1e0 * (headcount_start - starters_left_count) / nullif(headcount_start, 0) as decimal(9, 6)) as retained_share,
    cast(left_count_trailing_four_quarters as bigint) as left_count_trailing_four_quarters,
    cast(average_headcount as decimal(18, 4)) as average_headcount_trailing_four_quarters,
    cast(left_count_trailing_four_quarters / nullif(average_headcount, 0e0) as decimal(9, 6))
        as attrition_rate_trailing_four_quarters,
    cast(null as bigint) as spell_count,
    cast(null as bigint) as at_risk_count,
    cast(null as decimal(9, 6)) as survival_rate,
    cast(null as decimal(9, 6)) as survival_rate_low,
    cast(null as decimal(9, 6)) as survival_rate_high,
    headcount_start < {{ var('minimum_n') }} as is_small_sample
from attritions
where headcount_start + headcount_end + joined_count + left_count + moved_in_count + moved_out_count
    + coalesce(left_count_trailing_four_quarters, 0) > 0

union all

select
    'hire_cohort',
    'company',
    'all',
    null,
    null,
    s.hire_quarter,
    c.hire_quarter_start_date,
    cast(s.tenure_month as integer),
    true,
    null,
    null,
    null,
    null,
    s.event_count,
    null,
    s.voluntary_left_count,
    s.involuntary_left_count,
    s.event_count - s.voluntary_left_count - s.involuntary_left_count,
    null,
    null,
    null,
    null,
    null,
    null,
    c.spell_count,
    s.at_risk_count,
    cast(case when s.is_known then s.survival end as decimal(9, 6)),
    cast(case when s.is_known then {{ survival_low('s.survival', 's.variance') }} end as decimal(9, 6)),
    cast(case when s.is_known then {{ survival_high('s.survival', 's.variance') }} end as decimal(9, 6)),
    c.spell_count < {{ var('minimum_n') }}
from survivals as s
inner join cohorts as c on s.hire_quarter = c.hire_quarter
