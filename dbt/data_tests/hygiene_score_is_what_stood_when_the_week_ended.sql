-- Protects hygiene.scores, whose entries and exits add up over weeks: for the last complete week the deals in scope, and the clean ones
-- among them, are counted outright.
with scope as (

    select s.opportunity_id
    from {{ ref('fct_opportunity_states') }} as s
    cross join {{ ref('int_as_of') }} as n
    where s.valid_from_at < n.lock_at
        and (s.valid_to_at >= n.lock_at or s.valid_to_at is null)
        and {{ is_live('s') }}
        and (s.outcome = 'open' or {{ plus_days('s.booking_date', 7 * var('hygiene_closed_weeks')) }} > n.lock_date)

),

dirty as (

    select distinct e.opportunity_id
    from {{ ref('exceptions') }} as e
    cross join {{ ref('int_as_of') }} as n
    where e.first_seen_date <= n.lock_date and (e.resolved_date is null or e.resolved_date > n.lock_date)

),

counted as (

    select count(*) as in_scope_count, count(*) - count(d.opportunity_id) as clean_count
    from scope as s
    left join dirty as d on s.opportunity_id = d.opportunity_id

)

select c.in_scope_count, c.clean_count, t.records_in_scope_count, t.records_clean_count
from counted as c
cross join {{ ref('int_as_of') }} as n
left join {{ ref('scores') }} as t on t.level = 'company' and t.week_end_date = n.lock_date
where c.in_scope_count <> coalesce(t.records_in_scope_count, 0) or c.clean_count <> coalesce(t.records_clean_count, 0)
