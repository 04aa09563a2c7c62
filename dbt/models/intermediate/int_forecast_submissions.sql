-- One row per submission of a person for a fiscal quarter in HubSpot: what the person's pipelines add up to from then on, or the one
-- submission over all pipelines. Months and teams are left out.

with versions as (

    select
        *,
        lag(_extracted_at) over (partition by submission_id order by _load_id, _version) as previous_extracted_at,
        max(case when pipeline_id is null then 1 else 0 end) over (partition by source_user_id, period_start_date) as has_all_pipelines
    from {{ ref('stg_hubspot__forecast_submissions') }}
    where not is_deleted
        and source_user_id is not null
        and team_id is null
        and amount is not null
        and period_type = 'quarterly'
        and period_start_date in (select quarter_start_date from {{ ref('int_dates') }})

),

stamped as (

    select
        *,
        case
            when previous_extracted_at is null or submitted_at > previous_extracted_at then least(submitted_at, _extracted_at)
            else _extracted_at
        end as stood_from_at,
        case when _is_from_first_load then submitted_at else _extracted_at end as learned_at
    from versions
    where pipeline_id is null or has_all_pipelines = 0

),

moved as (

    select
        *,
        amount - coalesce(lag(amount) over (
            partition by source_user_id, period_start_date, pipeline_id order by stood_from_at, submission_id
        ), 0) as moved_amount
    from stamped

),

added as (

    select
        source_user_id,
        period_start_date,
        stood_from_at as submitted_at,
        sum(moved_amount) over (
            partition by source_user_id, period_start_date order by stood_from_at, submission_id rows unbounded preceding
        ) as amount,
        max(learned_at) over (
            partition by source_user_id, period_start_date order by stood_from_at, submission_id rows unbounded preceding
        ) as learned_at,
        row_number() over (partition by source_user_id, period_start_date, stood_from_at order by submission_id desc) as place
    from moved

)

select source_user_id, period_start_date, cast(amount as decimal(18, 2)) as commit_amount, submitted_at, learned_at
from added
where place = 1
