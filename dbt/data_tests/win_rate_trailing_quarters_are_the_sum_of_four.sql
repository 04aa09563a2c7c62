-- Protects win_rate: a trailing window that is not the sum of the quarters it names restates what was reported.
with quarters as (

    select level, level_id, basis, deal_type, period_start_date, won_count, lost_count, won_amount
    from {{ ref('win_rate') }}
    where period_type = 'quarter'

)

select w.level, w.level_id, w.basis, w.deal_type, w.period_start_date
from {{ ref('win_rate') }} as w
left join quarters as q
    on w.level = q.level and w.level_id = q.level_id and w.basis = q.basis and w.deal_type = q.deal_type
    and q.period_start_date >= w.period_start_date and q.period_start_date <= w.period_end_date
where w.period_type = 'trailing_four_quarters'
group by w.level, w.level_id, w.basis, w.deal_type, w.period_start_date, w.won_count, w.lost_count, w.won_amount
having count(q.period_start_date) not between 1 and 4
    or sum(q.won_count) <> w.won_count
    or sum(q.lost_count) <> w.lost_count
    or sum(q.won_amount) <> w.won_amount
