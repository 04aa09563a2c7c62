-- One row per level, fiscal quarter, week of the quarter and method: what was forecast by the end of that week, from what was known
-- then, against what was won in the quarter as known when it settled, seven days after its end.

{%- set order = levels().items() | list %}

with locks as (

    select * from {{ ref('int_locks') }} where not is_settlement

),

settled as (

    select * from {{ ref('int_locks') }} where is_settlement

),

forecasts as (

    -- each method: its amounts a person
    select method, lock_date, rep_id, team, segment, amount, call_count
    from {{ ref('int_forecasts_made') }}
    where method not in ('won', 'actual')

),

won_in_quarter as (

    -- won in the quarter, as known when it settled
    select * from {{ ref('int_forecasts_made') }} where method = 'actual'

),

methods as (

    -- a method says something in a week by which somebody called; what the CRM says, it says every week
    select distinct method, lock_date from forecasts where method <> 'crm_weighted'
    union all
    select 'crm_weighted', lock_date from locks

),

leaves as (

    select
        method,
        lock_date,
        segment,
        team,
        rep_id,
        sum(forecast_amount) as forecast_amount,
        sum(call_count) as call_count,
        sum(actual_amount) as actual_amount,
        sum(actual_count) as actual_count
    from (
        select method, lock_date, segment, team, rep_id, amount as forecast_amount, call_count, 0 as actual_amount, 0 as actual_count
        from forecasts
        union all
        select m.method, m.lock_date, w.segment, w.team, w.rep_id, case when m.method = 'crm_weighted' then 0 end, null, w.amount, w.deal_count
        from methods as m
        inner join locks as l on m.lock_date = l.lock_date
        inner join won_in_quarter as w on l.quarter_start_date = w.quarter_start_date
    ) as parts
    group by method, lock_date, segment, team, rep_id

),

levelled as (

    -- a level's children are the units of the next one in it; a rep has none
    {% for level, id in order %}
    select
        '{{ level }}' as level,
        level_id,
        method,
        lock_date,
        sum(forecast_amount) as forecast_amount,
        sum(call_count) as call_count,
        sum(actual_amount) as actual_amount,
        sum(actual_count) as actual_count,
        {{ 'null' if loop.last else 'sum(abs(coalesce(forecast_amount, 0) - actual_amount))' }} as children_error_amount
    {%- if loop.last %}
    from (select rep_id as level_id, * from leaves where method <> 'manager_commit') as children
    {%- else %}
    {%- set child = order[loop.index0 + 1][1] %}
    from (
        select
            {{ id }} as level_id,
            {{ child }} as child_id,
            method,
            lock_date,
            sum(forecast_amount) as forecast_amount,
            sum(call_count) as call_count,
            sum(actual_amount) as actual_amount,
            sum(actual_count) as actual_count
        from leaves
        group by {{ child if loop.first else id ~ ', ' ~ child }}, method, lock_date
    ) as children
    {%- endif %}
    group by level_id, method, lock_date
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

measured as (

    select
        v.level,
        v.level_id,
        l.fiscal_quarter,
        l.quarter_start_date,
        l.week_of_quarter,
        v.lock_date,
        v.method,
        q.quarter_start_date is not null as is_settled,
        v.forecast_amount,
        v.call_count,
        case when q.quarter_start_date is not null then v.actual_amount end as actual_amount,
        case when q.quarter_start_date is not null then v.actual_count end as actual_count,
        -- below a team there is no manager's call
        case when q.quarter_start_date is not null and (v.level <> 'team' or v.method <> 'manager_commit') then v.children_error_amount end as children_error_amount
    from levelled as v
    inner join locks as l on v.lock_date = l.lock_date
    left join settled as q on l.quarter_start_date = q.quarter_start_date
    union all
    -- the model: held against what came by a backtest, and as it stands in quarters that have not settled
    select
        level, level_id, fiscal_quarter, quarter_start_date, week_of_quarter, lock_date, method, true, forecast_amount, null,
        actual_amount, actual_count, children_error_amount
    from {{ ref('backtest') }}
    where method = 'model'
    union all
    select
        m.level, m.level_id, m.fiscal_quarter, m.quarter_start_date, m.week_of_quarter, m.lock_date, 'model', false, m.expected_amount, null,
        null, null, null
    from {{ ref('model_rollup') }} as m
    left join settled as q on m.quarter_start_date = q.quarter_start_date
    where q.quarter_start_date is null

)

select
    level,
    level_id,
    fiscal_quarter,
    quarter_start_date,
    cast(week_of_quarter as integer) as week_of_quarter,
    lock_date,
    method,
    is_settled,
    cast(forecast_amount as decimal(18, 2)) as forecast_amount,
    cast(call_count as bigint) as call_count,
    cast(actual_amount as decimal(18, 2)) as actual_amount,
    cast(actual_count as bigint) as actual_count,
    cast(forecast_amount - actual_amount as decimal(18, 2)) as error_amount,
    cast(children_error_amount as decimal(18, 2)) as children_error_amount,
    cast(1 - 1e0 * abs(forecast_amount - actual_amount) / nullif(actual_amount, 0) as decimal(18, 6)) as accuracy,
    cast(1e0 * (forecast_amount - actual_amount) / nullif(actual_amount, 0) as decimal(18, 6)) as bias,
    cast(1e0 * children_error_amount / nullif(actual_amount, 0) as decimal(18, 6)) as wape,
    actual_count < {{ var('minimum_n') }} as is_small_sample
from measured
