-- Protects fct_quota_changes: when all is known, coverage must be asked for the quota that attainment is measured by.
with changed as (

    select rep_id, quarter_start_date, team, segment, sum(full_quota_amount) as full_quota_amount
    from {{ ref('fct_quota_changes') }}
    group by rep_id, quarter_start_date, team, segment

),

held as (

    select rep_id, quarter_start_date, team, segment, full_quota_amount
    from {{ ref('fct_quota_periods') }}
    where period_type = 'quarter'

)

select *
from changed as c
full outer join held as h
    on c.rep_id = h.rep_id and c.quarter_start_date = h.quarter_start_date and c.team = h.team and c.segment = h.segment
where coalesce(c.full_quota_amount, 0) <> coalesce(h.full_quota_amount, 0)
