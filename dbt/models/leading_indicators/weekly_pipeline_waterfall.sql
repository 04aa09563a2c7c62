-- One row per level, week and target fiscal quarter in which there was pipeline or a movement.
-- Start plus movements is the end, to the cent, with no residual; one week's end is the next one's start.

{%- set movements = waterfall_movements() %}

with weekly as (

    select
        week_start_date,
        target_fiscal_quarter,
        target_quarter_start_date,
        rep_id,
        team,
        segment,
        movement,
        crosses_rep,
        crosses_team,
        crosses_segment,
        sum(amount_base) as amount_base
    from {{ ref('fct_pipeline_movements') }}
    group by
        week_start_date, target_fiscal_quarter, target_quarter_start_date, rep_id, team, segment, movement,
        crosses_rep, crosses_team, crosses_segment

),

levelled as (

    -- a hand-over counts only where it crosses the level's border
    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        {{ id }} as level_id,
        week_start_date,
        target_fiscal_quarter,
        target_quarter_start_date,
        movement,
        amount_base
    from weekly
    where movement not in ('reassigned_in', 'reassigned_out'){% if level != 'company' %} or crosses_{{ level }}{% endif %}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

flows as (

    select
        level,
        level_id,
        week_start_date,
        target_fiscal_quarter,
        target_quarter_start_date,
        {%- for movement in movements %}
        sum(case when movement = '{{ movement }}' then amount_base else 0 end) as {{ movement }}_amount,
        {%- endfor %}
        sum(amount_base) as net_amount
    from levelled
    group by level, level_id, week_start_date, target_fiscal_quarter, target_quarter_start_date

),

running as (

    select
        *,
        sum(net_amount) over (
            partition by level, level_id, target_fiscal_quarter order by week_start_date rows unbounded preceding
        ) as ending_amount,
        lead(week_start_date) over (partition by level, level_id, target_fiscal_quarter order by week_start_date) as next_week_start_date
    from flows

),

standing as (

    -- what is left stands until the next movement, nothing only for the week that emptied it
    select
        *,
        case
            when ending_amount = 0 then {{ plus_days('week_start_date', 7) }}
            else coalesce(next_week_start_date, date '9999-12-31')
        end as until_week_start_date
    from running

),

weeks as (

    select distinct d.week_start_date, d.week_end_date, d.week_fiscal_quarter, d.week_quarter_start_date
    from {{ ref('dim_dates') }} as d
    cross join {{ ref('int_as_of') }} as n
    where d.date_day <= n.as_of_date
        and d.date_day >= (select min(week_start_date) from flows)

),

filled as (

    -- quiet weeks carry what stood there
    select
        r.*,
        w.week_start_date as this_week_start_date,
        w.week_end_date,
        w.week_fiscal_quarter,
        w.week_quarter_start_date,
        w.week_start_date = r.week_start_date as has_movement
    from standing as r
    inner join weeks as w on w.week_start_date >= r.week_start_date and w.week_start_date < r.until_week_start_date

)

select
    f.level,
    f.level_id,
    f.this_week_start_date as week_start_date,
    f.week_end_date,
    f.week_fiscal_quarter as fiscal_quarter,
    f.week_quarter_start_date as quarter_start_date,
    f.target_fiscal_quarter,
    f.target_quarter_start_date,
    -- weeks of the target quarter count from 1; before it they are negative, the week just before being -1
    case
        when f.this_week_start_date >= {{ week_start('f.target_quarter_start_date') }}
            then {{ weeks_between('f.target_quarter_start_date', 'f.this_week_start_date') }} + 1
        else {{ weeks_between('f.target_quarter_start_date', 'f.this_week_start_date') }}
    end as week_of_quarter,
    f.week_end_date <= n.lock_date as is_complete,
    cast(case when f.has_movement then f.ending_amount - f.net_amount else f.ending_amount end as decimal(18, 2)) as starting_amount,
    {%- for movement in movements %}
    cast(case when f.has_movement then f.{{ movement }}_amount else 0 end as decimal(18, 2)) as {{ movement }}_amount,
    {%- endfor %}
    cast(f.ending_amount as decimal(18, 2)) as ending_amount
from filled as f
cross join {{ ref('int_as_of') }} as n
where f.ending_amount <> 0 or f.has_movement
