-- Protects activity_progress: a rep's quarters hold all they completed, once; of it what was on open deals, observed and followed
-- only ever gets less, and a deal that moved moved in some way.
select
    coalesce(a.rep_id, p.rep_id) as rep_id, a.activity_count, p.completed_count
from (
    select a.rep_id, count(*) as activity_count
    from {{ ref('fct_activities') }} as a
    where {{ is_effort('a') }}
    group by a.rep_id
) as a
full join (
    select rep_id, sum(completed_count) as completed_count
    from {{ ref('activity_progress') }}
    group by rep_id
) as p on a.rep_id = p.rep_id
where coalesce(a.activity_count, 0) <> coalesce(p.completed_count, 0)

union all

select rep_id, deal_activity_count, completed_count
from {{ ref('activity_progress') }}
where deal_activity_count > completed_count
    or observed_activity_count > deal_activity_count
    or followed_activity_count > observed_activity_count
    or (is_complete and observed_activity_count <> deal_activity_count)
    or moved_deal_count > worked_deal_count
    or moved_deal_count < greatest(created_deal_count, advanced_deal_count, won_deal_count)
    or moved_deal_count > created_deal_count + advanced_deal_count + won_deal_count
