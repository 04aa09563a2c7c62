-- One row per deal, as of as_of: what it is now, and the firsts and counts of its life.

with lives as (

    select
        opportunity_id,
        min(case when is_in_pipeline then valid_from_at end) as first_pipeline_at,
        max(case when outcome = 'won' then 1 else 0 end) as was_ever_won,
        max(case when is_deleted then 1 else 0 end) as was_ever_deleted,
        max(case when reopened then 1 else 0 end) as was_reopened
    from (
        select
            *,
            outcome = 'open' and lag(outcome, 1, 'open') over (partition by opportunity_id order by valid_from_at) <> 'open' as reopened
        from {{ ref('fct_opportunity_states') }}
    ) as states
    group by opportunity_id

),

pushes as (

    -- any close date later than the one last told while the deal is open is a push, a later fiscal quarter a slip
    select
        p.opportunity_id,
        count(*) as push_count,
        count(case when d.quarter_start_date > b.quarter_start_date then 1 end) as slip_count
    from (
        select
            opportunity_id,
            outcome,
            close_date,
            lag(close_date) over (partition by opportunity_id, close_date is null order by valid_from_at) as close_date_before
        from {{ ref('fct_opportunity_states') }}
    ) as p
    left join {{ ref('dim_dates') }} as d on p.close_date = d.date_day
    left join {{ ref('dim_dates') }} as b on p.close_date_before = b.date_day
    where p.outcome = 'open' and p.close_date > p.close_date_before
    group by p.opportunity_id

),

now_states as (

    select * from {{ ref('fct_opportunity_states') }} where valid_to_at is null

),

firsts as (

    select opportunity_id, valid_from_at, rep_id
    from {{ ref('fct_opportunity_states') }}

),

valued as (

    select
        s.*,
        n.as_of_date,
        case when s.outcome = 'open' then o.rate_to_base else coalesce(b.rate_to_base, c.rate_to_base) end as rate_to_base
    from now_states as s
    cross join {{ ref('int_as_of') }} as n
    left join {{ ref('int_valuation_rates') }} as o
        on s.currency_code = o.currency_code
        and {{ holds_on('o', 'n.as_of_date') }}
    left join {{ ref('int_currency_rates') }} as b
        on s.currency_code = b.currency_code and b.rate_type = 'dated'
        and {{ holds_on('b', 's.booking_date') }}
    left join {{ ref('int_valuation_rates') }} as c
        on s.currency_code = c.currency_code
        and {{ holds_on('c', 's.booking_date') }}

)

select
    v.opportunity_id,
    v.source_system,
    i.opportunity_name,
    v.pipeline,
    v.stage,
    v.outcome,
    i.type,
    i.lead_source,
    i.lead_source in ({% for source in var('self_sourced_lead_sources') %}'{{ source }}'{{ ', ' if not loop.last }}{% endfor %}) as is_self_sourced,
    i.campaign_id,
    i.product,
    v.account_id,
    v.rep_id,
    v.credited_rep_id,
    coalesce(a.team, 'unassigned') as team,
    coalesce(a.segment, 'unassigned') as segment,
    f.rep_id as first_pipeline_rep_id,
    v.currency_code,
    v.forecast_category,
    v.probability,
    v.amount,
    v.list_amount,
    v.discount_rate,
    v.rate_to_base,
    {{ cents('coalesce(v.amount, 0)', 'coalesce(v.rate_to_base, 0)') }} as amount_base,
    cast(case when v.outcome = 'won' and not v.is_deleted and v.merged_into_id is null and not v.is_excluded
        then {{ cents('coalesce(v.amount, 0)', 'coalesce(v.rate_to_base, 0)') }} else 0 end as decimal(18, 2)) as won_amount_base,
    cast(coalesce(p.push_count, 0) as integer) as push_count,
    cast(coalesce(p.slip_count, 0) as integer) as slip_count,
    v.is_in_pipeline,
    l.first_pipeline_at is not null as was_ever_in_pipeline,
    l.was_reopened = 1 as was_reopened,
    l.was_ever_won = 1 as was_ever_won,
    v.is_deleted,
    v.merged_into_id,
    v.is_excluded,
    i.exclusion_reason,
    v.is_reconstructed,
    {{ business_date('i.created_at') }} as created_date,
    {{ business_date('l.first_pipeline_at') }} as first_pipeline_date,
    v.close_date,
    v.booking_date,
    case when v.outcome = 'won' then {{ days_between(business_date('i.created_at'), 'v.booking_date') }} end as sales_cycle_days,
    v.next_step,
    v.next_step_date,
    v.champion,
    v.economic_buyer,
    v.budget_confirmed,
    v.decision_timeline,
    v.competitor,
    v.loss_reason,
    i.created_at,
    l.first_pipeline_at,
    v.closed_at,
    i.last_modified_at
from valued as v
inner join {{ ref('int_opportunities') }} as i on v.opportunity_id = i.opportunity_id
inner join lives as l on v.opportunity_id = l.opportunity_id
left join firsts as f on l.opportunity_id = f.opportunity_id and l.first_pipeline_at = f.valid_from_at
left join pushes as p on v.opportunity_id = p.opportunity_id
left join {{ ref('int_rep_attributes') }} as a
    on coalesce(v.credited_rep_id, v.rep_id) = a.rep_id
    and {{ holds_on('a', 'coalesce(v.booking_date, v.as_of_date)') }}
