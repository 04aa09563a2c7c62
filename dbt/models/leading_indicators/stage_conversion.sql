-- One row per level, pipeline, stage and fiscal quarter of first entry: of the deals that first entered the stage then,
-- how many went further, how many were lost before that, how many still stand; and how fast.

{%- set horizons = [30, 60, 90] %}
{%- set ever = 1000000 %}

with leaves as (

    -- the smallest groups any level is made of; at each level a cell goes by the number of its first leaf
    select
        *,
        {%- for level, id in levels().items() %}
        {{ levels() | length }} * min(leaf) over (partition by {{ id }}, pipeline, stage, quarter_start_date)
        + {{ loop.index0 }} as {{ level }}_cell{{ ',' if not loop.last }}
        {%- endfor %}
    from (
        select
            row_number() over (order by pipeline, stage, quarter_start_date, segment, team, rep_id) as leaf,
            pipeline,
            stage,
            fiscal_quarter,
            quarter_start_date,
            segment,
            team,
            rep_id
        from {{ ref('fct_stage_entries') }}
        group by pipeline, stage, fiscal_quarter, quarter_start_date, segment, team, rep_id
    ) as numbered

),

places as (

    {% for level, id in levels().items() %}
    select distinct
        {{ level }}_cell as cell, '{{ level }}' as level, {{ id }} as level_id,
        pipeline, stage, fiscal_quarter, quarter_start_date
    from leaves
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

placed as (

    select
        f.opportunity_id,
        f.pipeline,
        f.stage,
        f.stage_order,
        case when f.fate = 'reached' then 1 else 0 end as is_reached,
        case when f.fate = 'lost' then 1 else 0 end as is_lost,
        case when f.fate = 'open' then 1 else 0 end as is_open,
        f.finished_stay_count,
        f.followed_days,
        case
            {%- for days in horizons %} when f.followed_days <= {{ days }} then {{ days }}{% endfor %}
            else {{ ever }}
        end as horizon,
        f.known_days,
        {%- for level in levels() %}
        l.{{ level }}_cell{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('fct_stage_entries') }} as f
    inner join leaves as l
        on f.pipeline = l.pipeline and f.stage = l.stage and f.quarter_start_date = l.quarter_start_date
        and f.segment = l.segment and f.team = l.team and f.rep_id = l.rep_id

),

members as (

    {% for level in levels() %}
    select
        {{ level }}_cell as cell,
        stage_order,
        is_reached,
        is_lost,
        is_open,
        finished_stay_count,
        followed_days,
        horizon,
        known_days
    from placed
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

cells as (

    select
        cell,
        min(stage_order) as stage_order,
        count(*) as entered_count,
        sum(is_reached) as reached_count,
        sum(is_lost) as lost_count,
        sum(finished_stay_count) as finished_stay_count,
        max(known_days) as known_days,
        max(followed_days) as ever_days,
        min(case when is_open = 1 then followed_days end) as first_open_days
    from members
    group by cell

),

segments as (

    -- Between two deals leaving observation only the number of events matters, to the estimate and to its variance alike; so
    -- the curve steps there and at the horizons, not at every event. A deal still open at the moment of an event is at risk
    select m.cell, m.horizon, m.is_reached, m.is_lost, 0 as censored_before_count
    from members as m
    inner join cells as c on m.cell = c.cell
    where c.first_open_days is null or m.followed_days < c.first_open_days

    union all

    select
        m.cell,
        m.horizon,
        m.is_reached,
        m.is_lost,
        sum(m.is_open) over (partition by m.cell order by m.followed_days, m.is_open rows unbounded preceding) - m.is_open
    from members as m
    inner join cells as c on m.cell = c.cell
    where m.followed_days >= c.first_open_days

),

steps as (

    select
        cell,
        horizon,
        censored_before_count,
        count(*) as exit_count,
        sum(is_reached) as event_count,
        sum(is_lost) as competing_count
    from segments
    group by cell, horizon, censored_before_count

),

risks as (

    select
        cell,
        horizon,
        censored_before_count,
        event_count,
        competing_count,
        sum(exit_count) over (partition by cell) + exit_count
        - sum(exit_count) over (partition by cell order by horizon, censored_before_count rows unbounded preceding)
            as at_risk_count
    from steps

),

events as (

    select * from risks where event_count + competing_count > 0

),

curves as (

    select
        *,
        lead(horizon) over (partition by cell order by horizon, censored_before_count) as next_horizon
    from {{ cumulative_incidence('events', 'cell', 'horizon, censored_before_count') }} as curve

),

estimates as (

    -- the curve is a step function: the row that stands at a horizon is the last one up to it
    select
        cell,
        {%- for days in horizons + [ever] %}
        {%- set stands = 'horizon <= ' ~ days ~ ' and (next_horizon > ' ~ days ~ ' or next_horizon is null)' %}
        max(case when {{ stands }} then incidence end) as share_{{ days }},
        max(case when {{ stands }} then variance end) as variance_{{ days }}{{ ',' if not loop.last }}
        {%- endfor %}
    from curves
    group by cell

),

finished_stays as (

    -- every finished stay of the cohort's deals in the stage, re-entries among them
    select
        p.*,
        s.days_in_stage
    from placed as p
    inner join {{ ref('fct_stage_stays') }} as s
        on p.opportunity_id = s.opportunity_id and p.pipeline = s.pipeline and p.stage = s.stage
    where s.outcome = 'open' and s.is_finished

),

paces as (

    {% for level in levels() %}
    select
        {{ level }}_cell as cell,
        {{ percentile('days_in_stage', 0.5) }} as median_days_in_stage,
        {{ percentile('days_in_stage', 0.75) }} as p75_days_in_stage
    from finished_stays
    group by {{ level }}_cell
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    p.level,
    p.level_id,
    p.pipeline,
    p.stage,
    cast(c.stage_order as integer) as stage_order,
    p.fiscal_quarter,
    p.quarter_start_date,
    cast(c.entered_count as bigint) as entered_count,
    cast(c.reached_count as bigint) as reached_count,
    cast(c.lost_count as bigint) as lost_count,
    cast(c.entered_count - c.reached_count - c.lost_count as bigint) as open_count,
    cast(1e0 * c.reached_count / nullif(c.reached_count + c.lost_count, 0) as decimal(9, 6)) as conversion_rate,
    cast({{ wilson_low('c.reached_count', 'c.reached_count + c.lost_count') }} as decimal(9, 6)) as conversion_rate_low,
    cast({{ wilson_high('c.reached_count', 'c.reached_count + c.lost_count') }} as decimal(9, 6)) as conversion_rate_high,
    {%- for days in horizons %}
    {%- set is_followed = 'c.ever_days >= ' ~ days ~ ' or (c.first_open_days is null and c.known_days >= ' ~ days ~ ')' %}
    {%- set share, variance = 'e.share_' ~ days, 'e.variance_' ~ days %}
    {%- set column = 'conversion_rate_adjusted_' ~ days ~ 'd' %}
    cast(case when {{ is_followed }} then coalesce({{ share }}, 0) end as decimal(9, 6)) as {{ column }},
    cast(case when {{ is_followed }} then {{ share_low(share, variance) }} end as decimal(9, 6)) as {{ column }}_low,
    cast(case when {{ is_followed }} then {{ share_high(share, variance) }} end as decimal(9, 6)) as {{ column }}_high,
    {%- endfor %}
    cast(coalesce(e.share_{{ ever }}, 0) as decimal(9, 6)) as conversion_rate_adjusted_ever,
    {%- set share, variance = 'e.share_' ~ ever, 'e.variance_' ~ ever %}
    cast({{ share_low(share, variance) }} as decimal(9, 6)) as conversion_rate_adjusted_ever_low,
    cast({{ share_high(share, variance) }} as decimal(9, 6)) as conversion_rate_adjusted_ever_high,
    cast(c.ever_days as decimal(18, 4)) as ever_days,
    cast(c.finished_stay_count as bigint) as finished_stay_count,
    cast(d.median_days_in_stage as decimal(18, 4)) as median_days_in_stage,
    cast(d.p75_days_in_stage as decimal(18, 4)) as p75_days_in_stage,
    c.entered_count < {{ var('minimum_n') }} as is_small_sample
from places as p
inner join cells as c on p.cell = c.cell
left join estimates as e on p.cell = e.cell
left join paces as d on p.cell = d.cell
