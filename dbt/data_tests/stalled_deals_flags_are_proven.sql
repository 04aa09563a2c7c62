-- Protects stalled_deals: the row named beside each flag exists, belongs to the deal and says what the flag says.
with deals as (

    select * from {{ ref('stalled_deals') }}

),

states as (

    select
        s.opportunity_id,
        s.state_number,
        s.outcome,
        s.next_step,
        s.next_step_date,
        s.close_date,
        lag(s.close_date) over (partition by s.opportunity_id order by s.state_number) as close_date_before
    from {{ ref('fct_opportunity_states') }} as s
    inner join deals as d on s.opportunity_id = d.opportunity_id

)

select d.opportunity_id, 'no such stay' as problem
from deals as d
left join {{ ref('fct_stage_stays') }} as s
    on d.stay_id = s.stay_id and d.opportunity_id = s.opportunity_id and s.stage = d.stage and s.exited_at is null
where d.is_slow_in_stage and (s.stay_id is null or s.days_in_stage <= d.stage_p75_days)

union all

select d.opportunity_id, 'no such two-way activity'
from deals as d
left join {{ ref('fct_activities') }} as a on d.last_two_way_activity_id = a.activity_id and d.opportunity_id = a.opportunity_id
where d.last_two_way_activity_id is not null
    and (a.activity_id is null or not a.is_two_way or a.activity_date <> d.last_two_way_date)

union all

select d.opportunity_id, 'somebody answered since'
from deals as d
inner join {{ ref('fct_activities') }} as a on d.opportunity_id = a.opportunity_id
where a.is_two_way and a.activity_date > coalesce(d.last_two_way_date, date '1900-01-01') and a.activity_date <= d.as_of_date

union all

select d.opportunity_id, 'the next step stands otherwise'
from deals as d
left join states as s on d.opportunity_id = s.opportunity_id and d.next_step_state_number = s.state_number
where s.state_number is null
    or s.next_step is distinct from d.next_step
    or s.next_step_date is distinct from d.next_step_date

union all

select d.opportunity_id, 'the close date stands otherwise'
from deals as d
left join states as s on d.opportunity_id = s.opportunity_id and d.close_date_state_number = s.state_number
where s.state_number is null or s.close_date is distinct from d.close_date

union all

select d.opportunity_id, 'the pushes are others'
from deals as d
left join (
    select opportunity_id, count(*) as push_count, max(state_number) as last_state_number
    from states
    where outcome = 'open' and close_date > close_date_before
    group by opportunity_id
) as p on d.opportunity_id = p.opportunity_id
where d.push_count <> coalesce(p.push_count, 0)
    or d.last_push_state_number is distinct from p.last_state_number

union all

select opportunity_id, 'the flags do not add up'
from deals
where is_stalled <> (flag_count >= {{ var('stalled_flags') }})
    or flag_count <> case when is_slow_in_stage then 1 else 0 end
        + case when is_silent then 1 else 0 end
        + case when is_next_step_missing or is_next_step_past then 1 else 0 end
        + case when is_pushed_often then 1 else 0 end
        + case when is_overdue then 1 else 0 end
