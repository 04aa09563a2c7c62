-- Protects rep_retention: the published survival can be worked out again from the published rows, month by month.
select
    s.hire_quarter,
    s.tenure_month,
    s.survival_rate,
    b.survival_rate as survival_rate_before
from {{ ref('rep_retention') }} as s
left join {{ ref('rep_retention') }} as b
    on b.basis = 'hire_cohort' and s.hire_quarter = b.hire_quarter and s.tenure_month = b.tenure_month + 1
where s.basis = 'hire_cohort'
    and s.survival_rate is not null
    and abs(s.survival_rate - coalesce(b.survival_rate, 1) * (1e0 - 1e0 * s.left_count / s.at_risk_count)) > 0.000002
