-- Protects fct_quota_periods: a month's share of a quota that is lost or told twice shows as attainment nobody earned.
select
    rep_id,
    team,
    segment,
    quarter_start_date,
    sum(case when period_type = 'quarter' then full_quota_amount else -full_quota_amount end) as full_quota_difference,
    sum(case when period_type = 'quarter' then ramped_quota_amount else -ramped_quota_amount end) as ramped_quota_difference
from {{ ref('fct_quota_periods') }}
group by rep_id, team, segment, quarter_start_date
having sum(case when period_type = 'quarter' then full_quota_amount else -full_quota_amount end) <> 0
    or sum(case when period_type = 'quarter' then ramped_quota_amount else -ramped_quota_amount end) <> 0
