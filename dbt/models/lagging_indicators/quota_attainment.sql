-- One row per level and period (fiscal quarter, and again month): what was won over the quota of the days on the job, full and
-- ramped, and how many reps made theirs.

with won as (

    select period_type, period_start_date, period_end_date, fiscal_quarter, quarter_start_date, rep_id, team, segment, count(*) as won_count, sum(amount_base) as won_amount
    from {{ ref('fct_closings') }}
    where outcome = 'won'
    group by period_type, period_start_date, period_end_date, fiscal_quarter, quarter_start_date, rep_id, team, segment

),

quotas as (

    -- a period that has not begun has nothing to attain yet
    select q.*
    from {{ ref('fct_quota_periods') }} as q
    cross join {{ ref('int_as_of') }} as n
    where q.period_start_date <= n.as_of_date

),

parts as (

    select
        period_type, period_start_date, period_end_date, fiscal_quarter, quarter_start_date, rep_id, team, segment, won_count, won_amount,
        0 as full_quota_amount, 0 as ramped_quota_amount, 0 as full_quota_rep_count, 0 as full_quota_made_rep_count, 0 as ramped_quota_rep_count, 0 as ramped_quota_made_rep_count
    from won
    union all
    select
        period_type, period_start_date, period_end_date, fiscal_quarter, quarter_start_date, rep_id, team, segment, 0, 0,
        full_quota_amount, ramped_quota_amount, 0, 0, 0, 0
    from quotas
    union all
    -- a rep is judged on the whole period, wherever they stood in it, and counted where they stood at its end
    select
        r.period_type, r.period_start_date, r.period_end_date, r.fiscal_quarter, r.quarter_start_date,
        r.rep_id, coalesce(a.team, 'unassigned'), coalesce(a.segment, 'unassigned'), 0, 0, 0, 0,
        case when r.full_quota_amount > 0 then 1 else 0 end,
        case when r.full_quota_amount > 0 and coalesce(w.won_amount, 0) >= r.full_quota_amount then 1 else 0 end,
        case when r.ramped_quota_amount > 0 then 1 else 0 end,
        case when r.ramped_quota_amount > 0 and coalesce(w.won_amount, 0) >= r.ramped_quota_amount then 1 else 0 end
    from (
        select
            period_type, period_start_date, period_end_date, fiscal_quarter, quarter_start_date, rep_id,
            sum(full_quota_amount) as full_quota_amount,
            sum(ramped_quota_amount) as ramped_quota_amount
        from quotas
        where rep_id <> 'unassigned'
        group by period_type, period_start_date, period_end_date, fiscal_quarter, quarter_start_date, rep_id
    ) as r
    cross join {{ ref('int_as_of') }} as n
    left join (
        select period_type, period_start_date, rep_id, sum(won_amount) as won_amount
        from won
        group by period_type, period_start_date, rep_id
    ) as w on r.period_type = w.period_type and r.period_start_date = w.period_start_date and r.rep_id = w.rep_id
    left join {{ ref('int_rep_attributes') }} as a
        on r.rep_id = a.rep_id
        and {{ holds_on('a', 'least(r.period_end_date, n.as_of_date)') }}

),

levelled as (

    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        {{ id }} as level_id,
        period_type,
        period_start_date,
        period_end_date,
        fiscal_quarter,
        quarter_start_date,
        sum(won_count) as won_count,
        sum(won_amount) as won_amount,
        sum(full_quota_amount) as full_quota_amount,
        sum(ramped_quota_amount) as ramped_quota_amount,
        sum(full_quota_rep_count) as full_quota_rep_count,
        sum(full_quota_made_rep_count) as full_quota_made_rep_count,
        sum(ramped_quota_rep_count) as ramped_quota_rep_count,
        sum(ramped_quota_made_rep_count) as ramped_quota_made_rep_count
    from parts
    group by {{ id }}, period_type, period_start_date, period_end_date, fiscal_quarter, quarter_start_date
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    v.level,
    v.level_id,
    v.period_type,
    v.period_start_date,
    v.period_end_date,
    case when v.period_type = 'month' then v.period_start_date end as month_start_date,
    v.fiscal_quarter,
    v.quarter_start_date,
    v.period_end_date <= n.as_of_date as is_complete,
    cast(v.won_count as bigint) as won_count,
    cast(v.won_amount as decimal(18, 2)) as won_amount,
    cast(v.full_quota_amount as decimal(18, 2)) as full_quota_amount,
    cast(v.ramped_quota_amount as decimal(18, 2)) as ramped_quota_amount,
    cast(v.won_amount / nullif(v.full_quota_amount, 0) as decimal(18, 6)) as attainment_full,
    cast(v.won_amount / nullif(v.ramped_quota_amount, 0) as decimal(18, 6)) as attainment_ramped,
    cast(v.full_quota_rep_count as bigint) as full_quota_rep_count,
    cast(v.full_quota_made_rep_count as bigint) as full_quota_made_rep_count,
    cast(1e0 * v.full_quota_made_rep_count / nullif(v.full_quota_rep_count, 0) as decimal(9, 6)) as full_quota_made_rate,
    cast(v.ramped_quota_rep_count as bigint) as ramped_quota_rep_count,
    cast(v.ramped_quota_made_rep_count as bigint) as ramped_quota_made_rep_count,
    cast(1e0 * v.ramped_quota_made_rep_count / nullif(v.ramped_quota_rep_count, 0) as decimal(9, 6)) as ramped_quota_made_rate,
    v.full_quota_rep_count < {{ var('minimum_n') }} as is_small_sample
from levelled as v
cross join {{ ref('int_as_of') }} as n
