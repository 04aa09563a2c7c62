-- One row per level, week and target fiscal quarter in which there was pipeline or a movement.
-- Start plus movements is the end, to the cent, with no residual; one week's end is the next one's start.

{%- set movements = waterfall_movements() %}

with weekly as (

    select
        week_start_date,
        target_fiscal_quarter,
        rep_id,
        team,
        segment,
        movement,
        crosses_rep,
        crosses_team,
        crosses_segment,
        sum(amount_base) as amount_base
    from {{ ref('fct_pipeline_movements') }}
    group by week_start_date, target_fiscal_quarter, rep_id, team, segment, movement, crosses_rep, crosses_team, crosses_segment

),

levelled as (

    -- a hand-over counts only where it crosses the level's border
    {% for level, id in levels().items() %}
    select '{{ level }}' as level, {{ id }} as level_id, week_start_date, target_fiscal_quarter, movement, amount_base
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
        {%- for movement in movements %}
        sum(case when movement = '{{ movement }}' then amount_base else 0 end) as {{ movement }}_amount{{ ',' if not loop.last }}
        {%- endfor %}
    from levelled
    group by level, level_id, week_start_date, target_fiscal_quarter

),

stocks as (

    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        {{ id }} as level_id,
        week_start_date,
        week_end_date,
        fiscal_quarter,
        quarter_start_date,
        target_fiscal_quarter,
        target_quarter_start_date,
        sum(starting_amount) as starting_amount,
        sum(ending_amount) as ending_amount
    from {{ ref('fct_weekly_pipeline') }}
    group by 1, 2, 3, 4, 5, 6, 7, 8
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    s.level,
    s.level_id,
    s.week_start_date,
    s.week_end_date,
    s.fiscal_quarter,
    s.quarter_start_date,
    s.target_fiscal_quarter,
    s.target_quarter_start_date,
    {{ week_of_quarter('s.week_start_date', 's.target_quarter_start_date') }} as week_of_quarter,
    s.week_end_date <= n.lock_date as is_complete,
    cast(s.starting_amount as decimal(18, 2)) as starting_amount,
    {%- for movement in movements %}
    cast(coalesce(f.{{ movement }}_amount, 0) as decimal(18, 2)) as {{ movement }}_amount,
    {%- endfor %}
    cast(s.ending_amount as decimal(18, 2)) as ending_amount
from stocks as s
cross join {{ ref('int_as_of') }} as n
left join flows as f
    on s.level = f.level
    and s.level_id = f.level_id
    and s.week_start_date = f.week_start_date
    and s.target_fiscal_quarter = f.target_fiscal_quarter
where s.ending_amount <> 0 or f.level is not null
