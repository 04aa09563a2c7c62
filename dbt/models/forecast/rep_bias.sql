-- One row per rep and settled quarter: the bias of the rep's own calls over all settled quarters up to it. Filled by `make backtest`.

select
    b.rep_id,
    q.fiscal_quarter,
    b.quarter_start_date,
    b.team,
    b.call_count,
    b.called_amount,
    b.came_amount,
    b.quarter_count,
    b.called_ratio,
    b.team_bias,
    b.bias,
    b.bias_low,
    b.bias_high,
    b.habit,
    b.habit = 'too_few_quarters' as is_small_sample
from {{ source('archive', 'rep_bias') }} as b
inner join {{ ref('dim_dates') }} as q on b.quarter_start_date = q.date_day
where b.company_id = (select company_id from {{ source('ops', 'company') }})
