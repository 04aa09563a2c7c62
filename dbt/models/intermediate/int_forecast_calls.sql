-- One row per submitted forecast call: a person, own or team, a period and the moment of the submission. A changed call is a new one.
-- HubSpot's count where no other system tells the person's calls for the period.

with calls as (

    select
        'salesforce' as source_system, source_user_id, scope, period_start_date,
        commit_amount, best_case_amount, pipeline_amount, currency_code,
        case when _version = 1 or submitted_at > previous_extracted_at then least(submitted_at, _extracted_at) else _extracted_at end as submitted_at,
        case when _is_from_first_load then submitted_at else _extracted_at end as learned_at
    from (
        select
            *,
            lag(_extracted_at) over (partition by forecasting_item_id order by _load_id, _version) as previous_extracted_at
        from {{ ref('stg_salesforce__forecasting_items') }}
        where not _is_deleted
    ) as items
    union all
    select
        source_system, source_user_id, scope, period_start_date,
        commit_amount, best_case_amount, pipeline_amount, currency_code,
        submitted_at,
        {{ learned_at('submitted_at') }}
    from {{ ref('stg_files__forecast_calls') }}
    union all
    select
        'hubspot', source_user_id, 'own', period_start_date,
        commit_amount, null, null, null,
        submitted_at,
        learned_at
    from {{ ref('int_forecast_submissions') }}

),

matched as (

    select
        coalesce(users.rep_id, calls.source_user_id) as rep_id,
        calls.scope,
        calls.period_start_date,
        calls.submitted_at,
        calls.commit_amount,
        calls.best_case_amount,
        calls.pipeline_amount,
        coalesce(calls.currency_code, '{{ var("base_currency") }}') as currency_code,
        calls.learned_at,
        calls.source_system
    from calls
    cross join {{ ref('int_as_of') }} as n
    left join {{ ref('int_users_matched') }} as users
        on calls.source_system = users.source_system and calls.source_user_id = users.source_user_id
    where calls.submitted_at <= n.as_of_at and calls.learned_at <= n.as_of_at

)

select
    rep_id, scope, period_start_date, submitted_at, commit_amount, best_case_amount, pipeline_amount, currency_code, learned_at, source_system
from matched
where source_system <> 'hubspot'
    or not exists (
        select 1
        from matched as others
        where others.rep_id = matched.rep_id
            and others.scope = matched.scope
            and others.period_start_date = matched.period_start_date
            and others.source_system <> 'hubspot'
    )
