-- One row per person, scope and lock that is not frozen yet: the newest call for the lock's quarter that had been submitted, and was
-- known, by then.
{{ config(schema='intermediate') }}

select
    c.lock_date,
    c.fiscal_quarter,
    c.quarter_start_date,
    c.rep_id,
    c.scope,
    coalesce(a.team, 'unassigned') as team,
    coalesce(a.segment, 'unassigned') as segment,
    c.commit_amount,
    c.best_case_amount,
    c.pipeline_amount,
    c.currency_code,
    c.commit_amount_base,
    c.best_case_amount_base,
    c.pipeline_amount_base,
    c.submitted_at,
    c.learned_at
from (
    select
        f.*,
        l.lock_date,
        row_number() over (partition by f.rep_id, f.scope, l.lock_date order by f.submitted_at desc, f.learned_at desc) as recency
    from {{ ref('fct_forecast_calls') }} as f
    inner join {{ ref('int_locks_due') }} as l
        on f.quarter_start_date = l.quarter_start_date and f.submitted_at < l.lock_at and f.learned_at < l.lock_at
) as c
left join {{ ref('int_rep_attributes') }} as a on c.rep_id = a.rep_id and {{ holds_on('a', 'c.lock_date') }}
where c.recency = 1
