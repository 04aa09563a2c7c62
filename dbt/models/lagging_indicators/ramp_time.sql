-- One row per spell as a rep: the tenure months until the rep's own deals first carried the full quota's share, or why not yet.

with spells as (

    select
        rep_id,
        spell_number,
        start_date,
        end_date,
        hire_quarter,
        hire_quarter_start_date,
        team,
        segment,
        is_left_truncated,
        end_kind,
        end_reason,
        min(case when is_on_target then tenure_month end) as first_month_on_target,
        max(case when is_last_month and end_kind = 'left' then tenure_month end) as left_in_month,
        max(case when is_last_month and end_kind = 'left' and is_finished then tenure_month end) as finished_left_in_month,
        max(case when is_worked_whole then tenure_month else 0 end) as months_worked,
        max(case when is_measured then 1 else 0 end) as is_measured
    from {{ ref('fct_rep_tenure_months') }}
    group by
        rep_id, spell_number, start_date, end_date, hire_quarter, hire_quarter_start_date, team, segment, is_left_truncated,
        end_kind, end_reason

)

select
    s.rep_id,
    s.spell_number,
    s.team,
    s.segment,
    s.start_date,
    s.end_date,
    s.hire_quarter,
    s.hire_quarter_start_date,
    case
        when s.is_left_truncated then null
        when s.first_month_on_target is not null then 'ramped'
        when s.end_kind = 'left' then 'left before'
        else 'open'
    end as outcome,
    cast(case when not s.is_left_truncated then s.first_month_on_target end as integer) as months_to_ramp,
    cast(case
        when not s.is_left_truncated then coalesce(s.first_month_on_target, s.finished_left_in_month, s.months_worked)
    end as integer) as months_observed,
    cast(s.left_in_month as integer) as left_in_month,
    s.end_reason,
    m.trailing_won_amount_base,
    m.trailing_full_quota_amount_base,
    s.is_left_truncated,
    coalesce(s.end_kind = 'changed_role', false) as has_changed_role,
    not s.is_left_truncated and s.months_worked >= {{ var('ramp_first_month') }} and s.is_measured = 0 as is_quota_missing
from spells as s
left join {{ ref('fct_rep_tenure_months') }} as m
    on s.rep_id = m.rep_id
    and s.spell_number = m.spell_number
    and m.tenure_month = coalesce(s.first_month_on_target, s.months_worked)
