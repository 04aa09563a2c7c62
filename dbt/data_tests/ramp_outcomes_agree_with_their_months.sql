-- Protects ramp_time: every outcome has exactly the facts it claims, and a spell begun before the history claims none.
select *
from {{ ref('ramp_time') }}
where (outcome is null) <> is_left_truncated
    or (outcome = 'ramped') <> (months_to_ramp is not null)
    or (months_to_ramp is not null and months_to_ramp < {{ var('ramp_first_month') }})
    or (outcome = 'left before' and (left_in_month is null or months_observed > left_in_month))
    or (outcome = 'open' and left_in_month is not null)
    or (outcome = 'ramped' and trailing_won_amount_base < {{ var('ramp_target_share') }} * trailing_full_quota_amount_base)
