-- One row per exception that still stands: what to mend, whose it is now, and how much forecast money hangs on it; the most first.

with reps as (

    select rep_id, rep_name
    from (
        select rep_id, rep_name, row_number() over (partition by rep_id order by valid_from_date desc) as recency
        from {{ ref('dim_reps') }}
    ) as assignments
    where recency = 1

)

select
    cast(row_number() over (
        order by e.forecast_amount_at_stake desc, case r.severity when 'error' then 1 else 2 end, e.amount_base desc, e.first_seen_date, e.exception_id
    ) as integer) as worklist_rank,
    e.exception_id,
    e.rule_id,
    r.sentence,
    r.severity,
    r.owner,
    e.evidence,
    e.opportunity_id,
    o.opportunity_name,
    o.account_id,
    a.account_name,
    o.source_system,
    e.rep_id,
    coalesce(p.rep_name, e.rep_id) as rep_name,
    e.team,
    e.segment,
    o.stage,
    o.outcome,
    o.forecast_category,
    o.close_date,
    e.amount_base,
    e.forecast_amount_at_stake,
    e.first_seen_date,
    e.days_standing
from {{ ref('exceptions') }} as e
inner join {{ ref('rules') }} as r on e.rule_id = r.rule_id
inner join {{ ref('fct_opportunities') }} as o on e.opportunity_id = o.opportunity_id
left join {{ ref('dim_accounts') }} as a on o.account_id = a.account_id
left join reps as p on e.rep_id = p.rep_id
where e.resolved_date is null
