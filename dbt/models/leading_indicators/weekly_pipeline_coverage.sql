-- One row per level, week and target fiscal quarter, at the week's end: is there enough pipeline for the quota, by the company's
-- own history of what pipeline of that age turned into.

{%- set yield_quarters = 8 %}
{%- set pool_columns = ['won_amount', 'open_amount', 'deal_count', 'quarter_count'] %}

with quarters as (

    select
        q.fiscal_quarter,
        q.quarter_start_date,
        q.quarter_end_date,
        q.quarter_number,
        -- a quarter is looked at from the first week of the one before it, or the first in which a deal aimed at it, to its last
        least(
            {{ week_start('q.previous_quarter_start_date') }}, coalesce(m.week_start_date, q.quarter_start_date)
        ) as first_week_start_date,
        {{ plus_days(week_start(plus_days('q.quarter_end_date', 1)), -7) }} as last_week_start_date
    from (
        select
            fiscal_quarter,
            quarter_start_date,
            quarter_end_date,
            row_number() over (order by quarter_start_date) as quarter_number,
            lag(quarter_start_date) over (order by quarter_start_date) as previous_quarter_start_date
        from {{ ref('dim_dates') }}
        group by fiscal_quarter, quarter_start_date, quarter_end_date
    ) as q
    left join (
        select target_quarter_start_date, min(week_start_date) as week_start_date
        from {{ ref('fct_pipeline_movements') }}
        group by target_quarter_start_date
    ) as m on q.quarter_start_date = m.target_quarter_start_date

),

weeks as (

    select
        d.week_start_date,
        d.week_end_date,
        d.week_fiscal_quarter,
        d.week_quarter_start_date,
        d.week_end_date <= n.lock_date as is_complete,
        -- the newest quarter that was over when the week was, or before it if the week still runs
        q.quarter_number - 1 as finished_quarter_number
    from {{ ref('dim_dates') }} as d
    cross join {{ ref('int_as_of') }} as n
    inner join {{ ref('dim_dates') }} as day_after on day_after.date_day = {{ plus_days('least(d.week_end_date, n.lock_date)', 1) }}
    inner join quarters as q on day_after.quarter_start_date = q.quarter_start_date
    where d.date_day = d.week_start_date
        and d.week_start_date <= n.as_of_date
        and d.week_end_date >= {{ business_date('n.history_starts_at') }}

),

changes as (

    select
        rep_id,
        team,
        segment,
        fiscal_quarter as target_fiscal_quarter,
        {{ week_start('change_date') }} as week_start_date,
        full_quota_amount as quota_amount,
        0 as won_amount,
        0 as deal_count,
        0 as won_later_amount
    from {{ ref('fct_quota_changes') }}

    union all

    select rep_id, team, segment, fiscal_quarter, {{ week_start('change_date') }}, 0, won_amount_base, 0, 0
    from {{ ref('fct_booking_changes') }}

    union all

    -- a deal comes to stand in a bucket and goes from it; with it goes what it was won for in that quarter, if it was
    select
        m.rep_id,
        m.team,
        m.segment,
        m.target_fiscal_quarter,
        m.week_start_date,
        0,
        0,
        case when m.movement_order in (2, 4, 7) then 1 else -1 end,
        case when m.movement_order in (2, 4, 7) then 1 else -1 end * coalesce(b.won_amount_base, 0)
    from {{ ref('fct_pipeline_movements') }} as m
    left join {{ ref('fct_bookings') }} as b
        on m.opportunity_id = b.opportunity_id and m.target_quarter_start_date = b.quarter_start_date
    where m.movement_order in (1, 2, 3, 4, 7, 8)

),

weekly as (

    select
        rep_id,
        team,
        segment,
        target_fiscal_quarter,
        week_start_date,
        sum(quota_amount) as quota_amount,
        sum(won_amount) as won_amount,
        sum(deal_count) as deal_count,
        sum(won_later_amount) as won_later_amount
    from changes
    group by rep_id, team, segment, target_fiscal_quarter, week_start_date

),

levelled as (

    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        {{ id }} as level_id,
        target_fiscal_quarter,
        week_start_date,
        sum(quota_amount) as quota_amount,
        sum(won_amount) as won_amount,
        sum(deal_count) as deal_count,
        sum(won_later_amount) as won_later_amount
    from weekly
    group by 1, 2, 3, 4
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

running as (

    select
        level,
        level_id,
        target_fiscal_quarter,
        week_start_date,
        lead(week_start_date) over so_far as next_week_start_date,
        sum(quota_amount) over so_far as quota_amount,
        sum(won_amount) over so_far as won_amount,
        sum(deal_count) over so_far as deal_count,
        sum(won_later_amount) over so_far as won_later_amount
    from levelled
    window so_far as (partition by level, level_id, target_fiscal_quarter order by week_start_date)

),

standing as (

    -- every week in which deals stand; with a quota or a win only, every week in which the quarter is looked at
    select
        r.level,
        r.level_id,
        r.target_fiscal_quarter,
        q.quarter_start_date as target_quarter_start_date,
        q.quarter_end_date as target_quarter_end_date,
        q.quarter_number as target_quarter_number,
        r.quota_amount,
        r.won_amount,
        r.deal_count,
        r.won_later_amount,
        case when r.deal_count > 0 then r.week_start_date else greatest(r.week_start_date, q.first_week_start_date) end as from_week_start_date,
        case
            when r.deal_count > 0 then coalesce(r.next_week_start_date, date '9999-12-31')
            else least(coalesce(r.next_week_start_date, date '9999-12-31'), {{ plus_days('q.last_week_start_date', 7) }})
        end as until_week_start_date
    from running as r
    left join quarters as q on r.target_fiscal_quarter = q.fiscal_quarter
    where r.deal_count > 0 or (q.fiscal_quarter is not null and (r.quota_amount <> 0 or r.won_amount <> 0))

),

filled as (

    -- once the quarter is over there is nothing to cover, but overdue deals still stand in it
    select
        s.level,
        s.level_id,
        s.target_fiscal_quarter,
        s.target_quarter_start_date,
        s.target_quarter_number,
        s.deal_count,
        s.won_later_amount,
        w.week_end_date <= s.target_quarter_end_date as is_before_end,
        case when w.week_end_date <= s.target_quarter_end_date then s.quota_amount end as quota_amount,
        case when w.week_end_date <= s.target_quarter_end_date then s.won_amount end as won_amount,
        w.week_start_date,
        w.week_end_date,
        w.week_fiscal_quarter,
        w.week_quarter_start_date,
        w.is_complete,
        least(w.finished_quarter_number, s.target_quarter_number - 1) as newest_quarter_number,
        {{ week_of_quarter('w.week_start_date', 's.target_quarter_start_date') }} as week_of_quarter,
        coalesce(f.ending_amount, 0) as open_amount
    from standing as s
    inner join weeks as w on w.week_start_date >= s.from_week_start_date and w.week_start_date < s.until_week_start_date
    left join {{ ref('weekly_pipeline_waterfall') }} as f
        on s.level = f.level and s.level_id = f.level_id and w.week_start_date = f.week_start_date
        and s.target_fiscal_quarter = f.target_fiscal_quarter

),

pools as (

    -- what stood in the same week of the eight newest quarters that were over then
    select
        f.level,
        f.level_id,
        f.week_start_date,
        f.target_quarter_number,
        sum(h.won_later_amount) as won_amount,
        sum(h.open_amount) as open_amount,
        sum(h.deal_count) as deal_count,
        count(*) as quarter_count
    from filled as f
    inner join filled as h
        on f.level = h.level and f.level_id = h.level_id and f.week_of_quarter = h.week_of_quarter
        and h.target_quarter_number <= f.newest_quarter_number
        and h.target_quarter_number > f.newest_quarter_number - {{ yield_quarters }}
    where f.is_before_end and h.is_before_end and h.deal_count > 0
    group by f.level, f.level_id, f.week_start_date, f.target_quarter_number

),

teams as (

    -- a team whose people share one segment belongs to it
    select team, case when min(segment) = max(segment) then min(segment) end as segment
    from {{ ref('int_rep_attributes') }}
    group by team

),

asked as (

    select
        f.*,
        {%- for column in pool_columns %}
        coalesce(o.{{ column }}, 0) as own_{{ column }},
        {%- endfor %}
        f.is_before_end and coalesce(o.deal_count, 0) < {{ var('minimum_n') }} as is_thin,
        case f.level when 'rep' then coalesce(a.team, 'unassigned') end as parent_team,
        case
            when f.level = 'rep' then coalesce(a.segment, 'unassigned')
            when f.level = 'team' and t.team is null then 'unassigned'
            when f.level = 'team' then t.segment
        end as parent_segment
    from filled as f
    left join pools as o
        on f.level = o.level and f.level_id = o.level_id
        and f.week_start_date = o.week_start_date and f.target_quarter_number = o.target_quarter_number
    left join {{ ref('int_rep_attributes') }} as a
        on case f.level when 'rep' then f.level_id end = a.rep_id
        and {{ holds_on('a', 'f.week_end_date') }}
    left join teams as t
        on case f.level when 'team' then f.level_id end = t.team

),

sourced as (

    -- the smallest place with enough deals behind it speaks
    select
        p.*,
        {%- for source in ['team', 'segment', 'company'] %}
        {%- for column in pool_columns %}
        {{ source }}.{{ column }} as {{ source }}_{{ column }},
        {%- endfor %}
        {%- endfor %}
        case
            when not p.is_thin and p.is_before_end then 'own'
            when team.deal_count >= {{ var('minimum_n') }} then 'team'
            when segment.deal_count >= {{ var('minimum_n') }} then 'segment'
            when company.deal_count > 0 then 'company'
            else 'none'
        end as yield_source
    from asked as p
    {%- for source, id in {'team': 'p.parent_team', 'segment': 'p.parent_segment', 'company': "'all'"}.items() %}
    left join pools as {{ source }}
        on {{ source }}.level = '{{ source }}' and case when p.is_thin then {{ id }} end = {{ source }}.level_id
        and p.week_start_date = {{ source }}.week_start_date and p.target_quarter_number = {{ source }}.target_quarter_number
    {%- endfor %}

),

measured as (

    select
        *,
        case yield_source when 'own' then level when 'none' then null else yield_source end as yield_level,
        {%- for column in pool_columns %}
        case yield_source
            {%- for source in ['own', 'team', 'segment', 'company'] %} when '{{ source }}' then {{ source }}_{{ column }}{% endfor %}
        end as yield_{{ column }},
        {%- endfor %}
        case when quota_amount > won_amount then quota_amount - won_amount when is_before_end then 0 end as remaining_quota_amount
    from sourced

)

select
    level,
    level_id,
    week_start_date,
    week_end_date,
    week_fiscal_quarter as fiscal_quarter,
    week_quarter_start_date as quarter_start_date,
    target_fiscal_quarter,
    target_quarter_start_date,
    week_of_quarter,
    is_complete,
    cast(deal_count as bigint) as open_deal_count,
    cast(open_amount as decimal(18, 2)) as open_amount,
    cast(quota_amount as decimal(18, 2)) as quota_amount,
    cast(won_amount as decimal(18, 2)) as won_amount,
    cast(remaining_quota_amount as decimal(18, 2)) as remaining_quota_amount,
    cast(1e0 * open_amount / nullif(quota_amount, 0) as decimal(18, 6)) as coverage_full,
    cast(1e0 * open_amount / nullif(remaining_quota_amount, 0) as decimal(18, 6)) as coverage_remaining,
    cast(1e0 * yield_won_amount / nullif(yield_open_amount, 0) as decimal(18, 6)) as pipeline_yield,
    yield_level,
    cast(yield_won_amount as decimal(18, 2)) as yield_won_amount,
    cast(yield_open_amount as decimal(18, 2)) as yield_open_amount,
    cast(yield_deal_count as bigint) as yield_deal_count,
    cast(yield_quarter_count as bigint) as yield_quarter_count,
    cast(own_deal_count as bigint) as own_yield_deal_count,
    cast(1e0 * yield_open_amount / nullif(yield_won_amount, 0) as decimal(18, 6)) as coverage_needed,
    cast(round(1e0 * yield_open_amount / nullif(yield_won_amount, 0) * remaining_quota_amount - open_amount, 2) as decimal(18, 2))
        as coverage_gap_amount,
    coalesce(is_thin, false) as is_small_sample
from measured
