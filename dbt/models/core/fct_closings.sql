-- One row per deal and period (fiscal quarter, and again month) in which it counts as closed, won or lost: its state when the
-- period ended, or now in a running one. A deal reopened later stays closed in its period; a win recorded only after the period
-- ended counts with its first state.

with periods as (

    select date_day, 'quarter' as period_type, quarter_start_date as period_start_date, quarter_end_date as period_end_date, fiscal_quarter, quarter_start_date
    from {{ ref('dim_dates') }}
    union all
    select
        date_day,
        'month',
        month_start_date,
        max(date_day) over (partition by month_start_date),
        fiscal_quarter,
        quarter_start_date
    from {{ ref('dim_dates') }}

),

closings as (

    select
        s.opportunity_id,
        p.period_type,
        p.period_start_date,
        p.period_end_date,
        p.fiscal_quarter,
        p.quarter_start_date,
        s.outcome,
        s.booking_date,
        s.credited_rep_id as rep_id,
        s.loss_reason,
        s.amount,
        s.currency_code,
        s.valid_from_at as recorded_at,
        -- nobody is won and lost in one period
        row_number() over (
            partition by s.opportunity_id, p.period_type, p.period_start_date
            order by case when s.outcome = 'won' then 0 else 1 end, s.valid_from_at
        ) as precedence
    from {{ ref('fct_opportunity_states') }} as s
    inner join periods as p on s.booking_date = p.date_day
    where s.outcome <> 'open'
        and not s.is_deleted and s.merged_into_id is null and not s.is_excluded
        -- still so when the period ended
        and (s.valid_to_at is null or s.valid_to_at >= {{ start_of_business_date(plus_days('p.period_end_date', 1)) }})

)

select
    c.opportunity_id,
    c.period_type,
    c.period_start_date,
    c.period_end_date,
    c.fiscal_quarter,
    c.quarter_start_date,
    c.outcome,
    c.booking_date,
    c.rep_id,
    coalesce(a.team, 'unassigned') as team,
    coalesce(a.segment, 'unassigned') as segment,
    coalesce(i.type, 'unknown') as deal_type,
    c.loss_reason,
    c.outcome = 'lost' and x.loss_reason is not null as is_excluded_loss,
    c.amount,
    c.currency_code,
    {{ booked_amount('c') }} as amount_base,
    {{ business_date('i.created_at') }} as created_date,
    {{ days_between(business_date('i.created_at'), 'c.booking_date') }} as cycle_days,
    c.recorded_at
from closings as c
inner join {{ ref('int_opportunities') }} as i on c.opportunity_id = i.opportunity_id
left join {{ ref('int_excluded_loss_reasons') }} as x on lower(trim(c.loss_reason)) = x.loss_reason
{{ booking_rates('c') }}
left join {{ ref('int_rep_attributes') }} as a
    on c.rep_id = a.rep_id
    and {{ holds_on('a', 'c.booking_date') }}
where c.precedence = 1
