-- One row per deal, rule and period in which the rule stood against the deal, told by the deal's states: a re-run finds the same rows,
-- and what was mended stays in the past. Days count by how they ended: what arose and was mended within a day is no exception.
-- The rules are int_threshold_breaches and every file in models/hygiene/rules, whose text is put in here: which files there are is known
-- only after dbt has worked out which model needs which, so what they may read is told by name.

{%- for model in rule_inputs() %}
-- depends_on: {{ ref(model) }}
{%- endfor %}

with spans as (

    select rule_id, opportunity_id, from_at, to_at, evidence
    from {{ ref('int_threshold_breaches') }}
    {%- for file in rule_models() %}
    union all
    select '{{ file.name }}', opportunity_id, from_at, to_at, evidence
    from (
{{ render(file.raw_code) }}
    ) as {{ file.name }}
    {%- endfor %}

),

days as (

    select
        s.rule_id,
        s.opportunity_id,
        s.from_at,
        s.evidence,
        {{ business_date('s.from_at') }} as from_date,
        coalesce({{ business_date('s.to_at') }}, date '9999-12-31') as until_date
    from spans as s
    inner join {{ ref('rules') }} as r on s.rule_id = r.rule_id
    cross join {{ ref('int_as_of') }} as n
    where r.is_active
        and {{ business_date('s.from_at') }} < coalesce({{ business_date('s.to_at') }}, date '9999-12-31')
        and {{ business_date('s.from_at') }} <= n.as_of_date

),

periods as (

    -- a span that touches what stood so far goes on with it
    select
        *,
        sum(case when stood_until_date >= from_date then 0 else 1 end) over (
            partition by rule_id, opportunity_id order by from_date, until_date, from_at rows unbounded preceding
        ) as period_number
    from (
        select
            *,
            max(until_date) over (
                partition by rule_id, opportunity_id order by from_date, until_date, from_at
                rows between unbounded preceding and 1 preceding
            ) as stood_until_date
        from days
    ) as followed

),

stood as (

    select
        p.rule_id,
        p.opportunity_id,
        min(p.from_date) as first_seen_date,
        case when max(p.until_date) <= max(n.as_of_date) then max(p.until_date) end as resolved_date,
        coalesce(case when max(p.until_date) <= max(n.as_of_date) then {{ plus_days('max(p.until_date)', -1) }} end, max(n.as_of_date)) as last_seen_date,
        max(case when p.recency = 1 then p.evidence end) as evidence
    from (
        select
            *,
            row_number() over (partition by rule_id, opportunity_id, period_number order by from_date desc, until_date desc, from_at desc) as recency
        from periods
    ) as p
    cross join {{ ref('int_as_of') }} as n
    group by p.rule_id, p.opportunity_id, p.period_number

),

seen as (

    -- the deal as it was when the exception was last seen
    select
        e.*,
        s.source_system,
        s.outcome,
        s.is_in_pipeline,
        s.booking_date,
        s.currency_code,
        coalesce(case when s.outcome = 'open' then s.rep_id else s.credited_rep_id end, s.rep_id) as rep_id,
        coalesce(s.amount, 0) as amount,
        -- where the amount is missing, what the deal is listed at says what is at stake
        coalesce(nullif(s.amount, 0), s.list_amount * (1 - coalesce(s.discount_rate, 0)), 0) as likely_amount,
        case
            when s.outcome = 'open' and s.is_in_pipeline then coalesce(s.probability, l.default_probability, 1)
            when s.outcome = 'won' or l.outcome = 'won' then 1
            else 0
        end as weight,
        d.quarter_start_date
    from stood as e
    inner join {{ ref('fct_opportunity_states') }} as s
        on e.opportunity_id = s.opportunity_id
        and s.valid_from_at < {{ start_of_business_date(plus_days('e.last_seen_date', 1)) }}
        and coalesce(s.valid_to_at, timestamp '9999-12-31 00:00:00') >= {{ start_of_business_date(plus_days('e.last_seen_date', 1)) }}
    inner join {{ ref('dim_dates') }} as d on e.last_seen_date = d.date_day
    left join {{ ref('int_stages') }} as l
        on s.source_system = l.source_system and s.pipeline = l.pipeline and s.stage = l.stage
        and {{ holds_at('l', 's.valid_from_at') }}

),

valued as (

    select
        s.*,
        case when s.outcome = 'open' then o.rate_to_base else coalesce(b.rate_to_base, c.rate_to_base) end as rate_to_base
    from seen as s
    left join {{ ref('int_valuation_rates') }} as o
        on s.currency_code = o.currency_code and {{ holds_on('o', 's.last_seen_date') }}
    left join {{ ref('int_currency_rates') }} as b
        on s.currency_code = b.currency_code and b.rate_type = 'dated' and {{ holds_on('b', 's.booking_date') }}
    left join {{ ref('int_valuation_rates') }} as c
        on s.currency_code = c.currency_code and {{ holds_on('c', 's.booking_date') }}

)

select
    v.rule_id || '/' || v.opportunity_id || '/' || cast(v.first_seen_date as varchar) as exception_id,
    v.rule_id,
    v.opportunity_id,
    v.source_system,
    v.first_seen_date,
    v.last_seen_date,
    v.resolved_date,
    {{ days_between('v.first_seen_date', 'v.last_seen_date') }} + 1 as days_standing,
    v.rep_id,
    coalesce(a.team, 'unassigned') as team,
    coalesce(a.segment, 'unassigned') as segment,
    v.outcome,
    v.evidence,
    {{ cents('v.amount', 'coalesce(v.rate_to_base, 0)') }} as amount_base,
    case
        when v.outcome = 'open' or v.booking_date >= v.quarter_start_date
            then {{ cents('v.likely_amount', 'coalesce(v.rate_to_base, 0) * v.weight') }}
        else 0
    end as forecast_amount_at_stake
from valued as v
left join {{ ref('int_rep_attributes') }} as a
    on v.rep_id = a.rep_id and {{ holds_on('a', 'v.last_seen_date') }}
