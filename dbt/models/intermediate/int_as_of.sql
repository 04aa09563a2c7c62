-- One row, always: the instant the marts stand at, and the end of the last complete week before it. Nulls where nothing was loaded.

with newest as (

    select max(last_extracted_at) as extracted_at from {{ ref('int_loads') }}

),

created as (

    select min(created_at) as created_at from {{ ref('stg_salesforce__opportunities') }}
    union all
    select min(created_at) from {{ ref('stg_hubspot__deals') }}
    union all
    select min(created_at) from {{ ref('stg_files__opportunities') }}

),

beginnings as (

    select min(created_at) as created_at from created

),

instants as (

    select
        coalesce(cast({{ "'" ~ var('as_of') ~ "'" if var('as_of') else 'null' }} as timestamp), newest.extracted_at) as as_of_at,
        case when beginnings.created_at is not null then least(beginnings.created_at, newest.extracted_at) end as history_starts_at
    from newest
    cross join beginnings

),

days as (

    select
        as_of_at,
        {{ business_date('as_of_at') }} as as_of_date,
        -- a day is over with its last second
        {{ week_start(business_date(dbt.dateadd('second', 1, 'as_of_at'))) }} as running_week_start_date,
        history_starts_at
    from instants

)

select
    as_of_at,
    as_of_date,
    {{ plus_days('running_week_start_date', -1) }} as lock_date,
    {{ start_of_business_date('running_week_start_date') }} as lock_at,
    history_starts_at
from days
