-- One row per level, fiscal quarter and lock date: won so far, what was called, what the CRM's own probabilities say, quota
-- and the gap. Until the model exists `method` is crm_weighted: won to date plus amount times the CRM's probability, no range.
-- Deals in quarantine count in nothing but `quarantined_amount`.

{{ config(pre_hook="{{ require_gate(ref('inputs')) }}") }}

with lock as (

    select distinct lock_date, fiscal_quarter, quarter_start_date, quarter_end_date
    from {{ ref('inputs') }}

),

held_out as (

    select distinct f.opportunity_id
    from {{ source('forecast', 'gate_failing_rows') }} as f
    inner join (
        select run_id, max(checked_at) as checked_at
        from {{ source('forecast', 'gate') }}
        where gate = 'forecast_inputs' and check_name = 'verdict'
        group by run_id
        order by checked_at desc
        limit 1
    ) as newest on f.run_id = newest.run_id
    inner join {{ source('forecast', 'gate') }} as g
        on f.run_id = g.run_id and f.suite = g.suite and f.check_name = g.check_name
    where g.severity = 'quarantine'

),

open_deals as (

    select
        i.rep_id,
        i.team,
        i.segment,
        sum(case when h.opportunity_id is null and i.forecast_category = 'commit' then i.amount_base else 0 end) as commit_open_amount,
        sum(case when h.opportunity_id is null and i.forecast_category = 'best_case' then i.amount_base else 0 end) as best_case_open_amount,
        sum(case when h.opportunity_id is null and i.forecast_category = 'pipeline' then i.amount_base else 0 end) as pipeline_open_amount,
        sum(case when h.opportunity_id is null then round(i.amount_base * coalesce(i.probability, 0), 2) else 0 end) as weighted_open_amount,
        sum(case when h.opportunity_id is not null then i.amount_base else 0 end) as quarantined_amount
    from {{ ref('inputs') }} as i
    left join held_out as h on i.opportunity_id = h.opportunity_id
    where i.close_date <= i.quarter_end_date and i.is_pipeline_stage
    group by i.rep_id, i.team, i.segment

),

won as (

    select b.rep_id, b.team, b.segment, sum(b.won_amount_base) as won_amount
    from {{ ref('fct_bookings') }} as b
    inner join lock as l on b.quarter_start_date = l.quarter_start_date and b.booking_date <= l.lock_date
    group by b.rep_id, b.team, b.segment

),

calls as (

    -- each rep's newest own call for the quarter by the lock
    select c.rep_id, c.commit_amount_base, c.best_case_amount_base, c.pipeline_amount_base
    from (
        select
            f.*,
            row_number() over (partition by f.rep_id order by f.submitted_at desc) as recency
        from {{ ref('fct_forecast_calls') }} as f
        inner join lock as l
            on f.quarter_start_date = l.quarter_start_date
            and {{ business_date('f.submitted_at') }} <= l.lock_date
            and {{ business_date('f.learned_at') }} <= l.lock_date
        where f.scope = 'own'
    ) as c
    where c.recency = 1

),

quotas as (

    -- full quota of people without reports, prorated by calendar days where a period reaches over the quarter's border
    select
        q.rep_id,
        sum(
            q.quota_amount_base
            * ({{ days_between('greatest(q.period_start_date, l.quarter_start_date)', 'least(q.period_end_date, l.quarter_end_date)') }} + 1)
            / nullif({{ days_between('q.period_start_date', 'q.period_end_date') }} + 1, 0)
        ) as quota_amount
    from {{ ref('fct_quotas') }} as q
    inner join lock as l on q.period_start_date <= l.quarter_end_date and q.period_end_date >= l.quarter_start_date
    where q.quota_type = 'full' and not q.has_reports and q.rep_id is not null
    group by q.rep_id

),

people as (

    select
        r.rep_id,
        coalesce(a.team, 'unassigned') as team,
        coalesce(a.segment, 'unassigned') as segment
    from (select rep_id from calls union select rep_id from quotas) as r
    cross join lock as l
    left join {{ ref('int_rep_attributes') }} as a
        on r.rep_id = a.rep_id and {{ holds_on('a', 'l.lock_date') }}

),

parts as (

    select coalesce(rep_id, 'unassigned') as rep_id, team, segment, commit_open_amount, best_case_open_amount, pipeline_open_amount, weighted_open_amount, quarantined_amount,
        0 as won_amount, 0 as commit_called_amount, 0 as best_case_called_amount, 0 as pipeline_called_amount, 0 as quota_amount
    from open_deals
    union all
    select rep_id, team, segment, 0, 0, 0, 0, 0, won_amount, 0, 0, 0, 0
    from won
    union all
    select p.rep_id, p.team, p.segment, 0, 0, 0, 0, 0, 0, c.commit_amount_base, c.best_case_amount_base, c.pipeline_amount_base, 0
    from calls as c
    inner join people as p on c.rep_id = p.rep_id
    union all
    select p.rep_id, p.team, p.segment, 0, 0, 0, 0, 0, 0, 0, 0, 0, round(q.quota_amount, 2)
    from quotas as q
    inner join people as p on q.rep_id = p.rep_id

),

levelled as (

    {% for level, id in levels().items() %}
    select '{{ level }}' as level, {{ id }} as level_id, p.*
    from parts as p
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    v.level,
    v.level_id,
    l.fiscal_quarter,
    l.quarter_start_date,
    l.lock_date,
    'crm_weighted' as method,
    cast(sum(v.won_amount) as decimal(18, 2)) as won_amount,
    cast(sum(v.commit_open_amount) as decimal(18, 2)) as commit_open_amount,
    cast(sum(v.best_case_open_amount) as decimal(18, 2)) as best_case_open_amount,
    cast(sum(v.pipeline_open_amount) as decimal(18, 2)) as pipeline_open_amount,
    cast(sum(v.commit_called_amount) as decimal(18, 2)) as commit_called_amount,
    cast(sum(v.best_case_called_amount) as decimal(18, 2)) as best_case_called_amount,
    cast(sum(v.pipeline_called_amount) as decimal(18, 2)) as pipeline_called_amount,
    cast(sum(v.won_amount) + sum(v.weighted_open_amount) as decimal(18, 2)) as forecast_amount,
    cast(sum(v.quarantined_amount) as decimal(18, 2)) as quarantined_amount,
    cast(sum(v.quota_amount) as decimal(18, 2)) as quota_amount,
    cast(sum(v.quota_amount) - sum(v.won_amount) - sum(v.weighted_open_amount) as decimal(18, 2)) as gap_amount
from levelled as v
cross join lock as l
group by v.level, v.level_id, l.fiscal_quarter, l.quarter_start_date, l.lock_date
