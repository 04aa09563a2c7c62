-- Protects pipeline_velocity: whoever multiplies the four factors beside it must get it, and no deal may be closed twice in a quarter.
select *
from {{ ref('pipeline_velocity') }}
where open_deal_count < 0
    or abs(1e0 * velocity_amount_per_day * mean_cycle_days - 1e0 * open_deal_count * win_rate_count * average_won_amount)
        > 0.01 * mean_cycle_days + 1e-6 * open_deal_count * average_won_amount + 0.01 * open_deal_count
            + 0.0001 * velocity_amount_per_day
    or (velocity_amount_per_day is null) <> (won_count = 0 or total_cycle_days = 0)
    or (win_rate_count is null) <> (won_count + lost_count = 0)
    or cycle_count > won_count
