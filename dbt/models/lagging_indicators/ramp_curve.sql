-- One row per hire cohort (fiscal quarter of the start as a rep, and all of them) and tenure month: who was still ramping, who
-- ramped, who left first, and what a rep sold of the full quota.

with spells as (

    select
        rep_id,
        spell_number,
        hire_quarter,
        hire_quarter_start_date,
        outcome,
        months_observed,
        -- a departure in a month that is not over counts when it is: those who stay in it are not seen yet either
        outcome = 'left before' and left_in_month = months_observed as has_left
    from {{ ref('ramp_time') }}
    where not is_left_truncated

    union all

    select
        rep_id, spell_number, 'all', null, outcome, months_observed, outcome = 'left before' and left_in_month = months_observed
    from {{ ref('ramp_time') }}
    where not is_left_truncated

),

cohorts as (

    select
        hire_quarter,
        min(hire_quarter_start_date) as hire_quarter_start_date,
        count(*) as spell_count,
        max(months_observed) as last_observed_month
    from spells
    group by hire_quarter

),

productivity as (

    {% set is_productive = 'm.is_worked_whole and m.full_quota_amount_base > 0' -%}
    select
        c.hire_quarter,
        m.tenure_month,
        count(case when {{ is_productive }} then 1 end) as productivity_rep_count,
        avg(case when {{ is_productive }} then 1e0 * m.won_amount_base / m.full_quota_amount_base end) as mean_productivity,
        sum(case when {{ is_productive }} then m.won_amount_base end) as won_amount_base,
        sum(case when {{ is_productive }} then m.full_quota_amount_base end) as full_quota_amount_base
    from {{ ref('fct_rep_tenure_months') }} as m
    inner join cohorts as c on c.hire_quarter in (m.hire_quarter, 'all')
    where not m.is_left_truncated and m.is_finished
    group by c.hire_quarter, m.tenure_month

),

exits as (

    select
        c.hire_quarter,
        p.tenure_month,
        count(case when s.months_observed >= p.tenure_month then 1 end) as at_risk_count,
        count(case when s.months_observed = p.tenure_month and s.outcome = 'ramped' then 1 end) as event_count,
        count(case when s.months_observed = p.tenure_month and s.has_left then 1 end) as competing_count,
        count(case when s.months_observed = p.tenure_month and s.outcome <> 'ramped' and not s.has_left then 1 end)
            as censored_count
    from cohorts as c
    inner join productivity as p on c.hire_quarter = p.hire_quarter
    inner join spells as s on c.hire_quarter = s.hire_quarter
    group by c.hire_quarter, p.tenure_month

),

observed as (

    select * from exits where at_risk_count > 0

),

curves as (

    select * from {{ cumulative_incidence('observed', 'hire_quarter', 'tenure_month') }} as curve

),

shares as (

    -- once nobody is left to observe the last value stands if everyone's story is over; else nothing is known from there on
    select
        e.*,
        case when e.at_risk_count > 0 or v.survival < 1e-12 then v.incidence end as share_ramped,
        case when e.at_risk_count > 0 or v.survival < 1e-12 then v.variance end as variance
    from exits as e
    inner join cohorts as c on e.hire_quarter = c.hire_quarter
    left join curves as v
        on e.hire_quarter = v.hire_quarter and v.tenure_month = least(e.tenure_month, c.last_observed_month)

)

select
    s.hire_quarter,
    c.hire_quarter_start_date,
    cast(s.tenure_month as integer) as tenure_month,
    cast(c.spell_count as bigint) as spell_count,
    cast(s.at_risk_count as bigint) as at_risk_count,
    cast(s.event_count as bigint) as ramped_count,
    cast(s.competing_count as bigint) as left_count,
    cast(s.censored_count as bigint) as censored_count,
    cast(s.share_ramped as decimal(9, 6)) as share_ramped,
    cast({{ share_low('s.share_ramped', 's.variance') }} as decimal(9, 6)) as share_ramped_low,
    cast({{ share_high('s.share_ramped', 's.variance') }} as decimal(9, 6)) as share_ramped_high,
    cast(
        min(case when s.share_ramped >= 0.5 - 1e-12 then s.tenure_month end) over (partition by s.hire_quarter) as integer
    ) as median_months_to_ramp,
    cast(p.mean_productivity as decimal(18, 6)) as mean_productivity,
    cast(p.productivity_rep_count as bigint) as productivity_rep_count,
    cast(p.won_amount_base as decimal(18, 2)) as won_amount_base,
    cast(p.full_quota_amount_base as decimal(18, 2)) as full_quota_amount_base,
    c.spell_count < {{ var('minimum_n') }} as is_small_sample
from shares as s
inner join cohorts as c on s.hire_quarter = c.hire_quarter
inner join productivity as p on s.hire_quarter = p.hire_quarter and s.tenure_month = p.tenure_month
