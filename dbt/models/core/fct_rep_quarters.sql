-- One row per rep, spell of employment, assignment (one team and segment) and fiscal quarter in which they stood, came, moved or
-- left in it: ones and zeros that add up to headcounts and their movements.

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
    select
        rep_id,
        spell_number,
        assignment_number,
        is_rep,
        team,
        segment,
        case when assignment_number = 1 then joined_date else valid_from_date end as from_date,
        coalesce(next_from_date, {{ plus_days('left_date', 1) }}) as to_date,
        joined_date,
        left_date,
        next_from_date is null and left_date is not null as is_left,
        end_reason
    from assignments

),

neighbours as (

    select
        *,
        {%- for level, id in levels().items() %}
        {{ id }} as {{ level }}_here,
        lag(case when is_rep then {{ id }} end) over spell as {{ level }}_before,
        lead(case when is_rep then {{ id }} end) over spell as {{ level }}_after,
        {%- endfor %}
        max(case when is_left and is_rep then left_date end) over (partition by rep_id, spell_number) as rep_left_date
    from stints
    window spell as (partition by rep_id, spell_number order by assignment_number)

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

counted as (

    -- joining counts on the first day; leaving, and moving away or in, on the last day of what ends. A move counts at a level
    -- only where it crosses that level's border, or the role's
    {%- set in_quarter = ' between q.quarter_start_date and q.last_date' %}
    select
        s.rep_id,
        s.spell_number,
        s.assignment_number,
        s.team,
        s.segment,
        q.fiscal_quarter,
        q.quarter_start_date,
        q.quarter_end_date,
        q.is_complete,
        s.end_reason,
        t.rep_id is not null as is_top_tier,
        s.rep_left_date <= q.last_date as has_left,
        case
            when s.from_date <= q.quarter_start_date
                and (s.to_date > q.quarter_start_date or s.to_date is null)
                and s.joined_date < q.quarter_start_date
                then 1
            else 0
        end as headcount_start,
        case when s.assignment_number = 1 and s.from_date{{ in_quarter }} then 1 else 0 end as joined_count,
        {%- for level, id in levels().items() %}
        case
            when s.assignment_number > 1
                and (s.{{ level }}_before is null or s.{{ level }}_before <> s.{{ level }}_here)
                and {{ plus_days('s.from_date', -1) }}{{ in_quarter }}
                then 1
            else 0
        end as moved_in_{{ level }}_count,
        case
            when not s.is_left
                and s.to_date is not null
                and (s.{{ level }}_after is null or s.{{ level }}_after <> s.{{ level }}_here)
                and {{ plus_days('s.to_date', -1) }}{{ in_quarter }}
                then 1
            else 0
        end as moved_out_{{ level }}_count,
        {%- endfor %}
        case when s.is_left and s.left_date{{ in_quarter }} then 1 else 0 end as left_count,
        -- counted, not derived: that start plus movements gives the end is tested
        case
            when s.from_date <= q.next_date
                and (s.to_date > q.next_date or s.to_date is null)
                and s.joined_date < q.next_date
                then 1
            else 0
        end as headcount_end
    from neighbours as s
    inner join quarters as q
        on s.from_date <= q.next_date and q.quarter_start_date < coalesce(s.to_date, date '9999-12-31')
    left join top_tier as t on q.quarter_number = t.quarter_number and s.rep_id = t.rep_id
    where s.is_rep

)

select
    rep_id,
    cast(spell_number as integer) as spell_number,
    cast(assignment_number as integer) as assignment_number,
    team,
    segment,
    fiscal_quarter,
    quarter_start_date,
    quarter_end_date,
    is_complete,
    headcount_start,
    joined_count,
    {%- for level in levels() %}
    moved_in_{{ level }}_count,
    moved_out_{{ level }}_count,
    {%- endfor %}
    left_count,
    case when end_reason = 'voluntary' then left_count else 0 end as voluntary_left_count,
    case when end_reason = 'involuntary' then left_count else 0 end as involuntary_left_count,
    case when end_reason not in ('voluntary', 'involuntary') then left_count else 0 end as other_left_count,
    case when is_top_tier then left_count else 0 end as top_tier_left_count,
    case when has_left then 0 else headcount_start end as retained_count,
    headcount_end
from counted
where headcount_start + joined_count + left_count + headcount_end > 0
    {%- for level in levels() %} or moved_in_{{ level }}_count + moved_out_{{ level }}_count > 0 {%- endfor %}
