-- One row per quota: a person or a team, a period and a kind. HubSpot's goals count for days of which no other system tells the person's
-- quota. Where a quota is told only as an annual amount, one row per fiscal year from the start of the records to the year they end in.

with told as (

    select
        quotas.quota_id,
        'salesforce' as source_system,
        quotas.source_user_id,
        cast(null as varchar) as team,
        case when types.type_name like '%ramp%' then 'ramped' else 'full' end as quota_type,
        quotas.amount,
        quotas.currency_code,
        quotas.period_start_date,
        coalesce(quotas.period_end_date, {{ plus_days(plus_months('quotas.period_start_date', 3), -1) }}) as period_end_date
    from {{ ref('stg_salesforce__forecasting_quotas') }} as quotas
    left join {{ ref('stg_salesforce__forecasting_types') }} as types on quotas.forecasting_type_id = types.forecasting_type_id
    where not quotas.is_deleted
    union all
    select null, source_system, source_user_id, team, quota_type, amount, currency_code, period_start_date, period_end_date
    from {{ ref('stg_files__quotas') }}
    where not is_deleted
    union all
    select null, 'hubspot', source_user_id, null, 'full', amount, currency_code, period_start_date, period_end_date
    from {{ ref('int_goals') }}

),

matched as (

    select
        coalesce(users.rep_id, told.source_user_id) as rep_id,
        case when told.source_user_id is null then told.team end as team,
        told.period_start_date,
        told.period_end_date,
        told.quota_type,
        told.amount,
        coalesce(told.currency_code, '{{ var("base_currency") }}') as currency_code,
        told.source_system
    from told
    left join {{ ref('int_users_matched') }} as users
        on told.source_system = users.source_system and told.source_user_id = users.source_user_id

),

fiscal_years as (

    select
        dates.fiscal_year_start_date,
        max(dates.date_day) as fiscal_year_end_date
    from {{ ref('int_dates') }} as dates
    cross join {{ ref('int_as_of') }} as n
    where extract(year from dates.date_day) between extract(year from n.history_starts_at) - 1 and extract(year from n.as_of_date) + 1
    group by dates.fiscal_year_start_date, n.history_starts_at, n.as_of_date
    having max(dates.date_day) >= {{ business_date('n.history_starts_at') }} and dates.fiscal_year_start_date <= n.as_of_date

),

annual as (

    select
        users.rep_id,
        cast(null as varchar) as team,
        years.fiscal_year_start_date as period_start_date,
        years.fiscal_year_end_date as period_end_date,
        'full' as quota_type,
        people.annual_quota_amount as amount,
        '{{ var("base_currency") }}' as currency_code,
        people.source_system
    from {{ ref('stg_files__users') }} as people
    inner join {{ ref('int_users_matched') }} as users
        on people.source_system = users.source_system and people.source_user_id = users.source_user_id
    cross join fiscal_years as years
    where people._is_latest
        and people.annual_quota_amount is not null
        and not exists (select 1 from matched where matched.rep_id = users.rep_id)

)

select rep_id, team, period_start_date, period_end_date, quota_type, amount, currency_code, source_system
from matched
where source_system <> 'hubspot'
    or not exists (
        select 1
        from matched as others
        where others.rep_id = matched.rep_id
            and others.source_system <> 'hubspot'
            and others.period_start_date <= matched.period_end_date
            and others.period_end_date >= matched.period_start_date
    )
union all
select rep_id, team, period_start_date, period_end_date, quota_type, amount, currency_code, source_system from annual
