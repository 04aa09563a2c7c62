-- Two bases in one table. `quarter`: one row per level and fiscal quarter, headcount of reps and how it moved. `hire_cohort`: one
-- row per hire cohort (fiscal quarter of the start as a rep, and all of them) and tenure month, survival on the job.

with quarters as (

    select
        d.fiscal_quarter,
        d.quarter_start_date,
        d.quarter_end_date <= n.as_of_date as is_complete,
        row_number() over (order by d.quarter_start_date) as quarter_number
    from {{ ref('dim_dates') }} as d
    cross join {{ ref('int_as_of') }} as n
    where d.date_day = d.quarter_start_date
        and d.quarter_end_date >= {{ business_date('n.history_starts_at') }}
        and d.quarter_start_date <= n.as_of_date

),

{%- set counts = [
    'headcount_start', 'joined_count', 'left_count', 'voluntary_left_count', 'involuntary_left_count', 'other_left_count',
    'top_tier_left_count', 'retained_count', 'headcount_end'
] %}

levelled as (

    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        {{ id }} as level_id,
        quarter_start_date,
        {%- for count in counts %}
        sum({{ count }}) as {{ count }},
        {%- endfor %}
        sum(moved_in_{{ level }}_count) as moved_in_count,
        sum(moved_out_{{ level }}_count) as moved_out_count
    from {{ ref('fct_rep_quarters') }}
    group by 1, 2, 3
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

headcounts as (

    -- every unit in every quarter, for what trails
    select
        u.level,
        u.level_id,
        q.fiscal_quarter,
        q.quarter_start_date,
        q.is_complete,
        q.quarter_number,
        {%- for count in counts + ['moved_in_count', 'moved_out_count'] %}
        coalesce(l.{{ count }}, 0) as {{ count }}{{ ',' if not loop.last }}
        {%- endfor %}
    from (select distinct level, level_id from levelled) as u
    cross join quarters as q
    left join levelled as l
        on u.level = l.level and u.level_id = l.level_id and q.quarter_start_date = l.quarter_start_date

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
    cast(retained_count as bigint) as retained_count,
    cast(1e0 * retained_count / nullif(headcount_start, 0) as decimal(9, 6)) as retained_share,
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
