-- One row per person, period and currency: the quota that HubSpot holds as goals. Goals of revenue count, of one person, over a whole fiscal month or
-- quarter; of several for the same days the newest, one a pipeline added up; months before their quarter.

with periods as (

    select quarter_start_date, month_start_date as period_start_date, max(date_day) as period_end_date, true as is_month
    from {{ ref('int_dates') }}
    group by quarter_start_date, month_start_date
    union all
    select quarter_start_date, quarter_start_date, max(date_day), false
    from {{ ref('int_dates') }}
    group by quarter_start_date

),

owners as (

    select hubspot_user_id, min(source_user_id) as source_user_id
    from {{ ref('stg_hubspot__owners') }}
    where _is_latest
    group by hubspot_user_id

),

goals as (

    select
        goals.*,
        coalesce(goals.source_user_id, owners.source_user_id) as holder_id,
        periods.quarter_start_date,
        periods.is_month
    from {{ ref('stg_hubspot__goal_targets') }} as goals
    inner join periods
        on goals.period_start_date = periods.period_start_date and goals.period_end_date = periods.period_end_date
    left join owners on goals.hubspot_user_id = owners.hubspot_user_id
    where not goals.is_deleted
        and goals.goal_type = 'sales_quota'
        and coalesce(goals.unit, 'currency') = 'currency'
        and coalesce(goals.dated_by, 'closedate') = 'closedate'

),

ranked as (

    select
        *,
        row_number() over (
            partition by holder_id, period_start_date, period_end_date, pipeline_ids
            order by created_at desc nulls last, goal_id desc
        ) as place,
        max(case when pipeline_ids is null then 1 else 0 end)
            over (partition by holder_id, period_start_date, period_end_date) as has_all_pipelines,
        max(case when is_month then 1 else 0 end) over (partition by holder_id, quarter_start_date) as has_months
    from goals
    where holder_id is not null and amount is not null

)

select
    holder_id as source_user_id,
    period_start_date,
    period_end_date,
    currency_code,
    cast(sum(amount) as decimal(18, 2)) as amount
from ranked
where place = 1
    and (pipeline_ids is null or has_all_pipelines = 0)
    and (is_month or has_months = 0)
group by holder_id, period_start_date, period_end_date, currency_code
