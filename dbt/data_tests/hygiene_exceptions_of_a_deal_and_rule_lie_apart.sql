-- Protects hygiene.exceptions: periods of one rule against one deal neither overlap nor touch, none ends before it began, only the last
-- one stands.
select *
from (
    select
        exception_id,
        first_seen_date,
        last_seen_date,
        resolved_date,
        lead(first_seen_date) over (partition by rule_id, opportunity_id order by first_seen_date) as next_first_seen_date
    from {{ ref('exceptions') }}
) as periods
where last_seen_date < first_seen_date
    or next_first_seen_date is not null and (resolved_date is null or next_first_seen_date <= resolved_date)
