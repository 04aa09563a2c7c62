-- One row per level, basis, deal type and period (month, quarter, trailing four quarters): of the deals that were decided, how many
-- were won. `closed`: the deals closed in the period, as they stood at its end. `created`: the deals created in it, as of as_of.

{%- set counts = ['won_count', 'lost_count', 'excluded_lost_count', 'open_count', 'without_amount_count'] %}
{%- set amounts = ['won_amount', 'lost_amount', 'excluded_lost_amount'] %}

with months as (

    select month_start_date, max(date_day) as month_end_date
    from {{ ref('dim_dates') }}
    group by month_start_date

),

deals as (

    select 'closed' as basis, outcome, deal_type, is_excluded_loss, amount, amount_base, rep_id, team, segment, period_type, period_start_date, period_end_date, quarter_start_date
    from {{ ref('fct_closings') }}
    union all
    select 'created', c.outcome, c.deal_type, c.is_excluded_loss, c.amount, c.amount_base, c.rep_id, c.team, c.segment, 'quarter', d.quarter_start_date, d.quarter_end_date, d.quarter_start_date
    from {{ ref('fct_created_deals') }} as c
    inner join {{ ref('dim_dates') }} as d on c.created_date = d.date_day
    union all
    select 'created', c.outcome, c.deal_type, c.is_excluded_loss, c.amount, c.amount_base, c.rep_id, c.team, c.segment, 'month', m.month_start_date, m.month_end_date, c.quarter_start_date
    from {{ ref('fct_created_deals') }} as c
    inner join months as m on c.month_start_date = m.month_start_date

),

parts as (

    select
        basis,
        deal_type,
        rep_id,
        team,
        segment,
        period_type,
        period_start_date,
        period_end_date,
        quarter_start_date,
        count(case when outcome = 'won' then 1 end) as won_count,
        count(case when outcome = 'lost' then 1 end) as lost_count,
        count(case when is_excluded_loss then 1 end) as excluded_lost_count,
        count(case when outcome = 'open' then 1 end) as open_count,
        count(case when outcome <> 'open' and coalesce(amount, 0) = 0 then 1 end) as without_amount_count,
        sum(case when outcome = 'won' then amount_base else 0 end) as won_amount,
        sum(case when outcome = 'lost' then amount_base else 0 end) as lost_amount,
        sum(case when is_excluded_loss then amount_base else 0 end) as excluded_lost_amount
    from deals
    group by basis, deal_type, rep_id, team, segment, period_type, period_start_date, period_end_date, quarter_start_date

),

quarters as (

    select
        d.fiscal_quarter,
        d.quarter_start_date,
        d.quarter_end_date,
        lag(d.quarter_start_date, 3) over (order by d.quarter_start_date) as window_start_date
    from {{ ref('dim_dates') }} as d
    where d.date_day = d.quarter_start_date

),

periods as (

    select * from parts
    union all
    -- the sum of four quarters as each was reported; windows begin with the first quarter that has deals and end with the running one
    select
        p.basis, p.deal_type, p.rep_id, p.team, p.segment,
        'trailing_four_quarters', q.window_start_date, q.quarter_end_date, q.quarter_start_date,
        {{ (counts + amounts) | join(', ') }}
    from parts as p
    inner join quarters as q on p.quarter_start_date >= q.window_start_date and p.quarter_start_date <= q.quarter_start_date
    cross join {{ ref('int_as_of') }} as n
    where p.period_type = 'quarter' and q.quarter_start_date <= n.as_of_date

),

typed as (

    select * from periods
    union all
    select
        basis, 'all', rep_id, team, segment, period_type, period_start_date, period_end_date, quarter_start_date,
        {{ (counts + amounts) | join(', ') }}
    from periods
    where deal_type not in ({{ "'" ~ var('win_rate_headline_leaves_out') | join("', '") ~ "'" }})

),

levelled as (

    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        {{ id }} as level_id,
        basis,
        deal_type,
        period_type,
        period_start_date,
        period_end_date,
        quarter_start_date,
        {%- for column in counts %}
        cast(sum({{ column }}) as bigint) as {{ column }},
        {%- endfor %}
        {%- for column in amounts %}
        cast(sum({{ column }}) as decimal(18, 2)) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from typed
    group by {{ id }}, basis, deal_type, period_type, period_start_date, period_end_date, quarter_start_date
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    v.level,
    v.level_id,
    v.basis,
    v.deal_type,
    v.period_type,
    v.period_start_date,
    v.period_end_date,
    case when v.period_type = 'month' then v.period_start_date end as month_start_date,
    q.fiscal_quarter,
    v.quarter_start_date,
    v.period_end_date <= n.as_of_date as is_complete,
    v.won_count,
    v.lost_count,
    v.excluded_lost_count,
    case when v.basis = 'created' then v.open_count end as open_count,
    v.without_amount_count,
    v.won_amount,
    v.lost_amount,
    v.excluded_lost_amount,
    cast(1e0 * v.won_count / nullif(v.won_count + v.lost_count, 0) as decimal(9, 6)) as win_rate_count,
    cast({{ wilson_low('v.won_count', '(v.won_count + v.lost_count)') }} as decimal(9, 6)) as win_rate_count_low,
    cast({{ wilson_high('v.won_count', '(v.won_count + v.lost_count)') }} as decimal(9, 6)) as win_rate_count_high,
    -- credits can make a sum negative, and then it is no share
    cast(case when least(v.won_amount, v.lost_amount) >= 0
        then 1e0 * v.won_amount / nullif(v.won_amount + v.lost_amount, 0)
    end as decimal(9, 6)) as win_rate_value,
    cast(1e0 * v.won_count / nullif(v.won_count + v.lost_count - v.excluded_lost_count, 0) as decimal(9, 6)) as win_rate_count_narrow,
    cast(case when least(v.won_amount, v.lost_amount - v.excluded_lost_amount) >= 0
        then 1e0 * v.won_amount / nullif(v.won_amount + v.lost_amount - v.excluded_lost_amount, 0)
    end as decimal(9, 6)) as win_rate_value_narrow,
    case when v.basis = 'created'
        then v.open_count < {{ var('mature_open_share') }} * (v.won_count + v.lost_count + v.open_count)
    end as is_mature,
    v.won_count + v.lost_count < {{ var('minimum_n') }} as is_small_sample
from levelled as v
inner join quarters as q on v.quarter_start_date = q.quarter_start_date
cross join {{ ref('int_as_of') }} as n
