-- Protects stage_conversion: a deal that is neither reached, lost nor open, or two of them, falsifies every rate of its cohort.
select *
from {{ ref('stage_conversion') }}
where entered_count <> reached_count + lost_count + open_count
    or open_count < 0
    or conversion_rate_adjusted_30d > conversion_rate_adjusted_60d
    or conversion_rate_adjusted_60d > conversion_rate_adjusted_90d
    or (open_count = 0 and conversion_rate_adjusted_ever <> conversion_rate)
