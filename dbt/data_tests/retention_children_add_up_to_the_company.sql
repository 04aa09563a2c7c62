-- Protects rep_retention: at every level headcounts, joiners and leavers sum to the company's; moves between units do not, by nature.
with sums as (

    select
        level,
        quarter_start_date,
        sum(headcount_start) as headcount_start,
        sum(joined_count) as joined_count,
        sum(left_count) as left_count,
        sum(headcount_end) as headcount_end,
        sum(retained_count) as retained_count,
        sum(top_tier_left_count) as top_tier_left_count,
        sum(moved_in_count - moved_out_count) as net_moved_count
    from {{ ref('rep_retention') }}
    where basis = 'quarter'
    group by level, quarter_start_date

)

select c.*
from sums as c
left join sums as p on p.level = 'company' and c.quarter_start_date = p.quarter_start_date
where c.level <> 'company'
    and (
        p.level is null
        or c.headcount_start <> p.headcount_start
        or c.joined_count <> p.joined_count
        or c.left_count <> p.left_count
        or c.headcount_end <> p.headcount_end
        or c.retained_count <> p.retained_count
        or c.top_tier_left_count <> p.top_tier_left_count
        or c.net_moved_count <> p.net_moved_count
    )
