-- Protects weekly_activity: distinct accounts and deals do not add up, but they may only overlap: the children's sum is no less than
-- the company's, and none of them is more.
with sums as (

    select
        level, week_start_date, activity_type,
        sum(account_count) as account_count,
        max(account_count) as largest_account_count,
        sum(open_deal_count) as open_deal_count,
        max(open_deal_count) as largest_open_deal_count
    from {{ ref('weekly_activity') }}
    group by level, week_start_date, activity_type

)

select c.*
from sums as c
left join sums as p
    on p.level = 'company' and c.week_start_date = p.week_start_date and c.activity_type = p.activity_type
where c.level <> 'company'
    and (
        p.level is null
        or c.account_count < p.account_count or c.largest_account_count > p.account_count
        or c.open_deal_count < p.open_deal_count or c.largest_open_deal_count > p.open_deal_count
    )
