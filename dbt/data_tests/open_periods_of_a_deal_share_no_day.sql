-- Protects fct_open_periods: an activity joined to a deal's periods by its day would count twice where two of them share the day.
select *
from (
    select
        *,
        lag(coalesce(open_to_date, date '9999-12-31')) over (partition by opportunity_id order by period_number) as last_date_before
    from {{ ref('fct_open_periods') }}
) as periods
where open_from_date <= last_date_before
    or open_to_date < open_from_date
