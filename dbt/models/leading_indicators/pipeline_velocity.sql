-- One row per level and fiscal quarter: open deals at the quarter's end times win rate times average won amount, over the mean
-- sales cycle; the last three from the four quarters ending then. One set of deals for all four.

{%- set left_out = "'" ~ var('win_rate_headline_leaves_out') | join("', '") ~ "'" %}

with quarters as (

    select
        d.fiscal_quarter,
        d.quarter_start_date,
        d.quarter_end_date,
        d.quarter_end_date < {{ business_date(dbt.dateadd('second', 1, 'n.as_of_at')) }} as is_complete
    from {{ ref('dim_dates') }} as d
    cross join {{ ref('int_as_of') }} as n
    where d.quarter_start_date <= n.as_of_date
    group by d.fiscal_quarter, d.quarter_start_date, d.quarter_end_date, n.as_of_at

),

changes as (

    -- a deal comes to stand with an owner, and goes
    select
        m.rep_id,
        m.team,
        m.segment,
        d.quarter_start_date,
        case when m.movement_order in (2, 7) then 1 else -1 end as open_count,
        0 as won_count,
        0 as lost_count,
        0 as won_amount,
        0 as cycle_count,
        0 as total_cycle_days
    from {{ ref('fct_pipeline_movements') }} as m
    inner join {{ ref('fct_opportunities') }} as o on m.opportunity_id = o.opportunity_id
    inner join {{ ref('dim_dates') }} as d on m.movement_date = d.date_day
    where m.movement_order in (1, 2, 7, 8) and coalesce(o.type, 'unknown') not in ({{ left_out }})

    union all

    -- a close dated before the creation measures no cycle
    select
        rep_id,
        team,
        segment,
        quarter_start_date,
        0,
        case when outcome = 'won' then 1 else 0 end,
        case when outcome = 'lost' then 1 else 0 end,
        case when outcome = 'won' then amount_base else 0 end,
        case when outcome = 'won' and cycle_days >= 0 then 1 else 0 end,
        case when outcome = 'won' and cycle_days >= 0 then cycle_days else 0 end
    from {{ ref('fct_closings') }}
    where period_type = 'quarter' and deal_type not in ({{ left_out }})

),

{%- set counts = ['open_count', 'won_count', 'lost_count', 'won_amount', 'cycle_count', 'total_cycle_days'] %}

levelled as (

    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        {{ id }} as level_id,
        quarter_start_date,
        {%- for count in counts %}
        sum({{ count }}) as {{ count }}{{ ',' if not loop.last }}
        {%- endfor %}
    from changes
    group by 1, 2, 3
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

places as (

    select level, level_id, min(quarter_start_date) as first_quarter_start_date
    from levelled
    group by level, level_id

),

trailed as (

    -- quiet quarters are quarters too
    select
        p.level,
        p.level_id,
        q.fiscal_quarter,
        q.quarter_start_date,
        q.is_complete,
        sum(coalesce(c.open_count, 0)) over (
            partition by p.level, p.level_id order by q.quarter_start_date rows unbounded preceding
        ) as open_count,
        {%- for count in counts[1:] %}
        sum(coalesce(c.{{ count }}, 0)) over four_quarters as {{ count }}{{ ',' if not loop.last }}
        {%- endfor %}
    from places as p
    inner join quarters as q on q.quarter_start_date >= p.first_quarter_start_date
    left join levelled as c
        on p.level = c.level and p.level_id = c.level_id and q.quarter_start_date = c.quarter_start_date
    window four_quarters as (
        partition by p.level, p.level_id order by q.quarter_start_date rows between 3 preceding and current row
    )

)

select
    level,
    level_id,
    fiscal_quarter,
    quarter_start_date,
    is_complete,
    cast(open_count as bigint) as open_deal_count,
    cast(won_count as bigint) as won_count,
    cast(lost_count as bigint) as lost_count,
    cast(1e0 * won_count / nullif(won_count + lost_count, 0) as decimal(9, 6)) as win_rate_count,
    cast(won_amount as decimal(18, 2)) as won_amount,
    cast(1e0 * won_amount / nullif(won_count, 0) as decimal(18, 2)) as average_won_amount,
    cast(cycle_count as bigint) as cycle_count,
    cast(total_cycle_days as bigint) as total_cycle_days,
    cast(1e0 * total_cycle_days / nullif(cycle_count, 0) as decimal(18, 4)) as mean_cycle_days,
    cast(
        open_count
        * (1e0 * won_count / nullif(won_count + lost_count, 0))
        * (1e0 * won_amount / nullif(won_count, 0))
        / nullif(1e0 * total_cycle_days / nullif(cycle_count, 0), 0)
        as decimal(18, 2)
    ) as velocity_amount_per_day,
    won_count + lost_count < {{ var('minimum_n') }} as is_small_sample
from trailed
where open_count <> 0 or won_count + lost_count > 0
