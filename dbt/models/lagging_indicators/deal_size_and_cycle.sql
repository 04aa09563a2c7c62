-- One row per level, basis and fiscal quarter: how large won deals are and how long they took, from creation to close in whole days.
-- `closed`: the deals won in the quarter, as they stood at its end. `created`: the deals created in it, as of as_of.

with deals as (

    select
        'closed' as basis, outcome, amount, amount_base, cycle_days, fiscal_quarter, quarter_start_date,
        period_end_date as quarter_end_date, rep_id, team, segment
    from {{ ref('fct_closings') }}
    where period_type = 'quarter' and outcome = 'won'
    union all
    select
        'created', c.outcome, c.amount, c.amount_base, c.cycle_days, c.fiscal_quarter, c.quarter_start_date,
        d.quarter_end_date, c.rep_id, c.team, c.segment
    from {{ ref('fct_created_deals') }} as c
    inner join {{ ref('dim_dates') }} as d on c.created_date = d.date_day

),

measured as (

    -- only won deals have a size and a cycle; a close dated before the creation measures nothing
    select
        basis,
        fiscal_quarter,
        quarter_start_date,
        quarter_end_date,
        rep_id,
        team,
        segment,
        outcome,
        amount,
        case when outcome = 'won' then amount_base end as won_amount,
        case when outcome = 'won' and cycle_days >= 0 then cycle_days end as cycle_days,
        case when outcome = 'won' and cycle_days < 0 then 1 end as is_negative_cycle
    from deals

),

levelled as (

    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        {{ id }} as level_id,
        basis,
        fiscal_quarter,
        quarter_start_date,
        quarter_end_date,
        count(case when basis = 'created' then 1 end) as created_count,
        count(case when outcome = 'open' then 1 end) as open_count,
        count(won_amount) as won_count,
        count(case when outcome = 'won' and amount is null then 1 end) as won_without_amount_count,
        sum(coalesce(won_amount, 0)) as won_amount,
        {{ percentile('won_amount', 0.5) }} as median_won_amount,
        count(cycle_days) as cycle_count,
        count(is_negative_cycle) as negative_cycle_count,
        sum(coalesce(cycle_days, 0)) as total_cycle_days,
        {{ percentile('cycle_days', 0.5) }} as median_cycle_days,
        {{ percentile('cycle_days', 0.75) }} as p75_cycle_days
    from measured
    group by {{ id }}, basis, fiscal_quarter, quarter_start_date, quarter_end_date
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    v.level,
    v.level_id,
    v.basis,
    v.fiscal_quarter,
    v.quarter_start_date,
    v.quarter_end_date <= n.as_of_date as is_complete,
    case when v.basis = 'created' then cast(v.created_count as bigint) end as created_count,
    case when v.basis = 'created' then cast(v.open_count as bigint) end as open_count,
    cast(v.won_count as bigint) as won_count,
    cast(v.won_without_amount_count as bigint) as won_without_amount_count,
    cast(v.won_amount as decimal(18, 2)) as won_amount,
    cast(round(v.won_amount / nullif(v.won_count, 0), 2) as decimal(18, 2)) as average_won_amount,
    cast(v.median_won_amount as decimal(18, 2)) as median_won_amount,
    cast(v.cycle_count as bigint) as cycle_count,
    cast(v.negative_cycle_count as bigint) as negative_cycle_count,
    cast(v.total_cycle_days as bigint) as total_cycle_days,
    cast(v.median_cycle_days as decimal(18, 2)) as median_cycle_days,
    cast(v.p75_cycle_days as decimal(18, 2)) as p75_cycle_days,
    cast(1e0 * v.total_cycle_days / nullif(v.cycle_count, 0) as decimal(18, 4)) as mean_cycle_days,
    case when v.basis = 'created' then v.open_count < {{ var('mature_open_share') }} * v.created_count end as is_mature,
    v.won_count < {{ var('minimum_n') }} as is_small_sample
from levelled as v
cross join {{ ref('int_as_of') }} as n
