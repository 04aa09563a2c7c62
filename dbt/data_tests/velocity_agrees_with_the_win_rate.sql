-- Protects pipeline_velocity: its trailing four quarters are those of the headline win rate, deal by deal and to the cent.
with told as (

    select level, level_id, quarter_start_date, won_count, lost_count, won_amount, win_rate_count
    from {{ ref('pipeline_velocity') }}
    where won_count + lost_count > 0

),

rates as (

    select level, level_id, quarter_start_date, won_count, lost_count, won_amount, win_rate_count
    from {{ ref('win_rate') }}
    where basis = 'closed' and deal_type = 'all' and period_type = 'trailing_four_quarters'

)

select *
from told as t
full outer join rates as r
    on t.level = r.level and t.level_id = r.level_id and t.quarter_start_date = r.quarter_start_date
where t.won_count is distinct from r.won_count
    or t.lost_count is distinct from r.lost_count
    or t.won_amount is distinct from r.won_amount
    or t.win_rate_count is distinct from r.win_rate_count
