-- One row per deal and run of business days on which it was open. The day it was closed, deleted or merged away is the last of
-- a run; a deal closed and reopened on one day was open throughout. Excluded deals never were.

with states as (

    select
        opportunity_id,
        valid_from_at,
        outcome = 'open' and not is_deleted and merged_into_id is null as is_open
    from {{ ref('fct_opportunity_states') }}
    where not is_excluded

),

turns as (

    select
        opportunity_id,
        is_open,
        {{ business_date('valid_from_at') }} as from_date,
        {{ business_date('lead(valid_from_at) over (partition by opportunity_id order by valid_from_at)') }} as to_date
    from (
        select *, lag(is_open) over (partition by opportunity_id order by valid_from_at) as was_open
        from states
    ) as neighbours
    where was_open is null or is_open <> was_open

),

numbered as (

    -- a turn that begins on the day the one before it ended continues its run
    select
        *,
        sum(case when from_date > date_before or date_before is null then 1 else 0 end)
            over (partition by opportunity_id order by from_date, coalesce(to_date, date '9999-12-31') rows unbounded preceding) as period_number
    from (
        select
            *,
            lag(to_date) over (partition by opportunity_id order by from_date, coalesce(to_date, date '9999-12-31')) as date_before
        from turns
        where is_open
    ) as open_turns

)

select
    opportunity_id,
    cast(period_number as integer) as period_number,
    min(from_date) as open_from_date,
    case when count(to_date) = count(*) then max(to_date) end as open_to_date
from numbered
group by opportunity_id, period_number
