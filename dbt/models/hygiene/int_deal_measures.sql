-- One row per state of a deal that counts (not deleted, merged or excluded): what threshold rules measure, null where it does not
-- apply. Dates are what a measure counts its days from or to. Open deals, but for the sales cycle, which won ones have.
{{ config(schema='intermediate') }}

with told as (

    select
        *,
        lag(close_date) over (partition by opportunity_id, close_date is null order by valid_from_at) as close_date_before,
        lag(pipeline || '/' || stage) over (partition by opportunity_id order by valid_from_at) as stage_before,
        lag(outcome) over (partition by opportunity_id order by valid_from_at) as outcome_before
    from {{ ref('fct_opportunity_states') }}

),

counted as (

    select
        *,
        sum(case when outcome = 'open' and close_date > close_date_before then 1 else 0 end)
            over (partition by opportunity_id order by valid_from_at rows unbounded preceding) as push_count,
        max(case when stage_before is null or stage_before <> pipeline || '/' || stage then valid_from_at end)
            over (partition by opportunity_id order by valid_from_at rows unbounded preceding) as stage_since_at,
        max(case when outcome_before is null or outcome_before <> outcome then valid_from_at end)
            over (partition by opportunity_id order by valid_from_at rows unbounded preceding) as outcome_since_at
    from told

)

select
    c.opportunity_id,
    c.valid_from_at,
    c.valid_to_at,
    case when c.outcome = 'open' then coalesce(c.amount, 0) end as amount,
    case when c.outcome = 'open' then cast(c.push_count as integer) end as close_date_push_count,
    case when c.outcome = 'open' then abs(c.probability - s.default_probability) end as probability_gap,
    case when c.outcome = 'open' then c.discount_rate end as discount_rate,
    case
        when c.outcome = 'won' then {{ days_between(business_date('d.created_at'), 'least(coalesce(c.close_date, c.booking_date), c.booking_date)') }}
    end as sales_cycle_days,
    case when c.outcome = 'open' then c.close_date end as close_date,
    case when c.outcome = 'open' then c.next_step_date end as next_step_date,
    case when c.outcome = 'open' then {{ business_date('c.stage_since_at') }} end as stage_since_date,
    case when c.outcome = 'open' then {{ business_date('c.outcome_since_at') }} end as open_since_date
from counted as c
inner join {{ ref('int_opportunities') }} as d on c.opportunity_id = d.opportunity_id
left join {{ ref('int_stages') }} as s
    on c.source_system = s.source_system and c.pipeline = s.pipeline and c.stage = s.stage
    and {{ holds_at('s', 'c.valid_from_at') }}
where {{ is_live('c') }}
