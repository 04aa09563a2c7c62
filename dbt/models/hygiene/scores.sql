-- One row per level and week in which it had deals in scope: how many, and how many of them no rule stood against when the week ended.

with levelled as (

    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        {{ id }} as level_id,
        week_start_date,
        sum(records_in_scope_count) as records_in_scope_count,
        sum(records_clean_count) as records_clean_count
    from {{ ref('rep_scores') }}
    group by 1, 2, 3
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    l.level,
    l.level_id,
    l.week_start_date,
    d.week_end_date,
    d.week_fiscal_quarter as fiscal_quarter,
    d.week_quarter_start_date as quarter_start_date,
    d.week_of_quarter,
    d.week_end_date <= n.lock_date as is_complete,
    cast(l.records_in_scope_count as bigint) as records_in_scope_count,
    cast(l.records_clean_count as bigint) as records_clean_count,
    cast(1.0 * l.records_clean_count / nullif(l.records_in_scope_count, 0) as decimal(9, 6)) as clean_share,
    l.records_in_scope_count < {{ var('minimum_n') }} as is_small_sample
from levelled as l
inner join {{ ref('dim_dates') }} as d on l.week_start_date = d.date_day
cross join {{ ref('int_as_of') }} as n
