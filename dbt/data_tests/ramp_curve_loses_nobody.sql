-- Protects ramp_curve: those at risk in a month are those of the month before less who ramped, left or was no longer seen; all
-- begin with every spell observed, and a share never falls.
select *
from (
    select
        *,
        lag(at_risk_count - ramped_count - left_count - censored_count)
            over (partition by hire_quarter order by tenure_month) as expected_at_risk_count,
        lag(share_ramped) over (partition by hire_quarter order by tenure_month) as share_before
    from {{ ref('ramp_curve') }}
) as months
where at_risk_count <> expected_at_risk_count
    or share_ramped < share_before
    or at_risk_count > spell_count
    or ramped_count + left_count + censored_count > at_risk_count
    or (tenure_month < {{ var('ramp_first_month') }} and ramped_count > 0)
