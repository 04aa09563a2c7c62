-- Protects weekly_pipeline_coverage: whoever divides the columns that stand beside a ratio must get the ratio, and the gap is
-- what the yield asks for beyond what is open. A yield rests on enough deals, or says that it does not.
select *
from {{ ref('weekly_pipeline_coverage') }}
where remaining_quota_amount <> greatest(quota_amount - won_amount, 0)
    or abs(1e0 * coverage_full * quota_amount - open_amount) > 0.01 + quota_amount * 1e-6
    or (coalesce(quota_amount, 0) = 0) <> (coverage_full is null)
    or abs(1e0 * coverage_remaining * remaining_quota_amount - open_amount) > 0.01 + remaining_quota_amount * 1e-6
    or (coalesce(remaining_quota_amount, 0) = 0) <> (coverage_remaining is null)
    or abs(1e0 * pipeline_yield * yield_open_amount - yield_won_amount) > 0.01 + yield_open_amount * 1e-6
    or (coalesce(yield_open_amount, 0) = 0) <> (pipeline_yield is null)
    or (coalesce(yield_won_amount, 0) = 0) <> (coverage_needed is null)
    or (coverage_needed is null) <> (coverage_gap_amount is null)
    or abs(1e0 * coverage_needed * remaining_quota_amount - open_amount - coverage_gap_amount) > 0.01 + remaining_quota_amount * 1e-6
    or (yield_deal_count < {{ var('minimum_n') }} and yield_level <> 'company')
    or yield_quarter_count > 8
    or (own_yield_deal_count >= {{ var('minimum_n') }} and (yield_level <> level or yield_deal_count <> own_yield_deal_count))
    or (yield_level is null) <> (pipeline_yield is null and coalesce(yield_deal_count, 0) = 0)
    or (quota_amount is null and yield_level is not null)
    or (quota_amount is null and week_end_date < target_quarter_start_date)
