-- Protects win_rate: a rate above 1, or a rate where nothing was decided, means a deal counts in a numerator alone.
select *
from {{ ref('win_rate') }}
where win_rate_count not between 0 and 1
    or win_rate_value not between 0 and 1
    or win_rate_count_narrow not between win_rate_count and 1
    or win_rate_value_narrow not between win_rate_value and 1
    or excluded_lost_count > lost_count
    or (won_count + lost_count > 0) <> (win_rate_count is not null)
    or win_rate_count_low > win_rate_count + 0.000001
    or win_rate_count_high < win_rate_count - 0.000001
