-- One row per open deal and lock date (the end of the last complete week): all that the forecast may use, as it was known
-- then. What was learned after the lock is not in it. This is the table the expectations guard.

{%- set fields = {
    'pipeline': 'varchar', 'stage': 'varchar', 'amount': 'decimal(18, 2)', 'currency_code': 'varchar', 'close_date': 'date',
    'owner_id': 'varchar', 'forecast_category': 'varchar', 'probability': 'decimal(9, 4)', 'next_step': 'varchar',
    'next_step_date': 'date', 'champion': 'varchar', 'economic_buyer': 'varchar', 'budget_confirmed': 'boolean',
    'decision_timeline': 'date', 'is_deleted': 'boolean', 'merged_into_id': 'varchar', 'outcome_flag': 'varchar'
} %}

with lock as (

    select
        n.lock_date,
        n.lock_at,
        d.fiscal_quarter,
        d.quarter_start_date,
        d.quarter_end_date
    from {{ ref('int_as_of') }} as n
    inner join {{ ref('dim_dates') }} as d on n.lock_date = d.date_day

),

candidates as (

    -- deals that may have been open then: open by what is known now, or told otherwise since
    select s.opportunity_id
    from {{ ref('fct_opportunity_states') }} as s
    cross join lock as l
    where s.valid_from_at < l.lock_at
        and (s.valid_to_at >= l.lock_at or s.valid_to_at is null)
        and s.outcome = 'open'
        and not s.is_excluded

    union

    select c.opportunity_id
    from {{ ref('int_opportunity_changes') }} as c
    cross join lock as l
    where c.changed_at < l.lock_at and c.learned_at >= l.lock_at

),

known as (

    select
        c.*,
        row_number() over (
            partition by c.opportunity_id, c.field order by c.changed_at desc, c.change_order desc
        ) as recency,
        case when c.field = 'close_date' and c.value > lag(c.value) over (
            partition by c.opportunity_id, c.field order by c.changed_at, c.change_order
        ) then 1 else 0 end as is_push
    from {{ ref('int_opportunity_changes') }} as c
    inner join candidates as d on c.opportunity_id = d.opportunity_id
    cross join lock as l
    where c.changed_at < l.lock_at and c.learned_at < l.lock_at

),

deals as (

    select
        opportunity_id,
        {%- for field, type in fields.items() %}
        cast(max(case when field = '{{ field }}' and recency = 1 then value end) as {{ type }}) as {{ field }},
        {%- endfor %}
        max(case when field = 'stage' and recency = 1 then changed_at end) as stage_since_at,
        max(case when recency = 1 and is_reconstructed and field in ('stage', 'amount', 'close_date', 'owner_id', 'forecast_category') then 1 else 0 end) as reconstructed,
        max(case when recency = 1 then learned_at end) as learned_at,
        sum(is_push) as push_count
    from known
    group by opportunity_id

),

touches as (

    select a.opportunity_id, count(*) as activity_count
    from {{ ref('fct_activities') }} as a
    inner join candidates as c on a.opportunity_id = c.opportunity_id
    cross join lock as l
    where a.is_completed
        and a.occurred_at < l.lock_at
        and a.activity_date > {{ plus_days('l.lock_date', -30) }}
    group by a.opportunity_id

),

current_reps as (

    select rep_id, max(case when status = 'left' then 0 else 1 end) as is_active
    from {{ ref('dim_reps') }} as r
    cross join lock as l
    where r.valid_from_date <= l.lock_date and (r.valid_to_date is null or r.valid_to_date > l.lock_date)
    group by rep_id

)

select
    d.opportunity_id,
    l.lock_date,
    l.fiscal_quarter,
    l.quarter_start_date,
    l.quarter_end_date,
    i.source_system,
    d.pipeline,
    d.stage,
    s.stage_order,
    s.stage is not null as is_known_stage,
    coalesce(s.is_pipeline, true) as is_pipeline_stage,
    d.owner_id as rep_id,
    coalesce(a.team, 'unassigned') as team,
    coalesce(a.segment, 'unassigned') as segment,
    coalesce(p.is_active, 0) = 1 as is_rep_active,
    d.amount,
    coalesce(d.currency_code, '{{ var("base_currency") }}') as currency_code,
    r.rate_to_base,
    r.rate_to_base is not null as has_rate,
    cast(round(coalesce(d.amount, 0) * coalesce(r.rate_to_base, 0), 2) as decimal(18, 2)) as amount_base,
    d.close_date,
    coalesce(d.close_date < l.lock_date, false) as is_overdue,
    coalesce(d.forecast_category, s.default_forecast_category, 'pipeline') as forecast_category,
    cast(coalesce(d.probability, s.default_probability) as decimal(9, 4)) as probability,
    {{ business_date('i.created_at') }} as created_date,
    {{ days_between(business_date('i.created_at'), 'l.lock_date') }} as days_open,
    {{ days_between(business_date('d.stage_since_at'), 'l.lock_date') }} as days_in_stage,
    d.next_step,
    d.next_step_date,
    d.champion,
    d.economic_buyer,
    d.budget_confirmed,
    d.decision_timeline,
    cast(d.push_count as integer) as push_count,
    cast(coalesce(t.activity_count, 0) as integer) as activity_count_30d,
    d.reconstructed = 1 as is_reconstructed,
    d.learned_at
from deals as d
cross join lock as l
inner join {{ ref('int_opportunities') }} as i on d.opportunity_id = i.opportunity_id
left join {{ ref('int_stages') }} as s
    on i.source_system = s.source_system and d.pipeline = s.pipeline and d.stage = s.stage
    and s.valid_from_at < l.lock_at and (s.valid_to_at >= l.lock_at or s.valid_to_at is null)
left join {{ ref('int_rep_attributes') }} as a
    on d.owner_id = a.rep_id and {{ holds_on('a', 'l.lock_date') }}
left join current_reps as p on d.owner_id = p.rep_id
left join {{ ref('int_valuation_rates') }} as r
    on coalesce(d.currency_code, '{{ var("base_currency") }}') = r.currency_code
    and {{ holds_on('r', 'l.lock_date') }}
left join touches as t on d.opportunity_id = t.opportunity_id
where coalesce(d.outcome_flag, s.outcome, 'open') = 'open'
    and not coalesce(d.is_deleted, false)
    and d.merged_into_id is null
    and not i.is_excluded
