-- Protects deal_size_and_cycle: a difference taken the wrong way round, or a close dated before the creation, must not reach an average.
select *
from {{ ref('deal_size_and_cycle') }}
where total_cycle_days < 0
    or median_cycle_days < 0
    or p75_cycle_days < median_cycle_days
    or cycle_count + negative_cycle_count > won_count
    or (won_count = 0) <> (average_won_amount is null)
