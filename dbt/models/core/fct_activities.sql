-- One row per activity; one that several systems logged counts once.

select
    activity_id,
    source_system,
    sources,
    type,
    coalesce(rep_id, 'unassigned') as rep_id,
    account_id,
    opportunity_id,
    contact_id,
    direction,
    outcome,
    duration_minutes,
    is_completed,
    is_two_way_candidate,
    duplicate_count,
    {{ business_date('occurred_at') }} as activity_date,
    {{ week_start(business_date('occurred_at')) }} as week_start_date,
    occurred_at
from {{ ref('int_activities') }}
