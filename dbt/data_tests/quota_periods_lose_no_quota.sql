-- Protects fct_quota_periods: over a rep's life the periods never hold more than the quotas told, and hold all of it where the
-- rep was there on every day of them.
with told as (

    select rep_id, sum(quota_amount_base) as quota_amount, min(period_start_date) as first_date, max(period_end_date) as last_date
    from {{ ref('fct_quotas') }}
    where rep_id is not null and quota_type = 'full' and not has_reports
    group by rep_id

),

held as (

    select rep_id, sum(full_quota_amount) as quota_amount
    from {{ ref('fct_quota_periods') }}
    where period_type = 'quarter'
    group by rep_id

),

lives as (

    select
        rep_id,
        min(valid_from_date) as first_date,
        max(case when status = 'left' then 1 else 0 end) as has_left
    from {{ ref('dim_reps') }}
    group by rep_id

)

select t.rep_id, t.quota_amount, h.quota_amount as held_amount
from told as t
left join held as h on t.rep_id = h.rep_id
left join lives as l on t.rep_id = l.rep_id
where coalesce(h.quota_amount, 0) > t.quota_amount
    or ((l.rep_id is null or (l.first_date <= t.first_date and l.has_left = 0)) and coalesce(h.quota_amount, 0) <> t.quota_amount)
