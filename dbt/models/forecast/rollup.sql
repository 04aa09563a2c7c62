-- One row per level, fiscal quarter and lock that was taken: won so far, what was called, how much of it rests on evidence, what the
-- CRM's own probabilities say, quota and the gap; all as known at the lock, from what was frozen then. Deals that the gate held out
-- count in nothing but `quarantined_amount`.

{{ config(pre_hook="{{ require_gate(ref('inputs')) }}") }}

{%- set amounts = [
    'won_amount', 'commit_amount', 'commit_evidenced_amount', 'best_case_amount', 'best_case_evidenced_amount', 'pipeline_amount',
    'commit_supported_amount', 'best_case_supported_amount', 'pipeline_supported_amount',
    'commit_called_amount', 'best_case_called_amount', 'pipeline_called_amount',
    'weighted_open_amount', 'quarantined_amount', 'quota_amount'
] %}

with locks as (

    select l.lock_date, l.fiscal_quarter, l.quarter_start_date, l.week_of_quarter, l.is_backfilled
    from {{ source('forecast', 'locks') }} as l
    inner join {{ ref('int_as_of') }} as n on l.lock_date <= n.lock_date

),

in_play as (

    -- open deals that close by the quarter's end
    select * from {{ source('forecast', 'locked_inputs') }}
    where close_date <= quarter_end_date and is_pipeline_stage

),

parts as (

    select
        lock_date,
        coalesce(rep_id, 'unassigned') as rep_id,
        team,
        segment,
        case when is_held_out then 0 else amount_base end as counted_amount,
        case when is_held_out then amount_base else 0 end as quarantined_amount,
        case when is_held_out then 0 else {{ cents('amount_base', 'coalesce(probability, 0)') }} end as weighted_open_amount,
        forecast_category,
        supported_category,
        0 as won_amount,
        0 as quota_amount,
        0 as commit_called_amount,
        0 as best_case_called_amount,
        0 as pipeline_called_amount
    from in_play
    union all
    select lock_date, coalesce(rep_id, 'unassigned'), team, segment, 0, 0, 0, null, null, won_amount, quota_amount, 0, 0, 0
    from {{ source('forecast', 'locked_progress') }}
    union all
    -- each rep's newest own call
    select lock_date, rep_id, team, segment, 0, 0, 0, null, null, 0, 0, commit_amount_base, best_case_amount_base, pipeline_amount_base
    from {{ source('forecast', 'locked_calls') }}
    where scope = 'own'

),

summed as (

    select
        lock_date,
        rep_id,
        team,
        segment,
        {%- for category in ['commit', 'best_case', 'pipeline'] %}
        sum(case when forecast_category = '{{ category }}' then counted_amount else 0 end) as {{ category }}_amount,
        sum(case when supported_category = '{{ category }}' then counted_amount else 0 end) as {{ category }}_supported_amount,
        sum({{ category }}_called_amount) as {{ category }}_called_amount,
        {%- endfor %}
        -- called so, and borne out: a best case may have earned commit
        sum(case when forecast_category = 'commit' and supported_category = 'commit' then counted_amount else 0 end) as commit_evidenced_amount,
        sum(case when forecast_category = 'best_case' and supported_category in ('commit', 'best_case') then counted_amount else 0 end) as best_case_evidenced_amount,
        sum(weighted_open_amount) as weighted_open_amount,
        sum(quarantined_amount) as quarantined_amount,
        sum(won_amount) as won_amount,
        sum(quota_amount) as quota_amount
    from parts
    group by lock_date, rep_id, team, segment

),

levelled as (

    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        {{ id }} as level_id,
        lock_date,
        {%- for amount in amounts %}
        sum({{ amount }}) as {{ amount }}{{ ',' if not loop.last }}
        {%- endfor %}
    from summed
    group by {{ [id, 'lock_date'] | reject('equalto', "'all'") | join(', ') }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    v.level,
    v.level_id,
    l.fiscal_quarter,
    l.quarter_start_date,
    l.week_of_quarter,
    l.lock_date,
    l.is_backfilled,
    'crm_weighted' as method,
    {%- for amount in amounts if amount not in ['weighted_open_amount', 'quarantined_amount', 'quota_amount'] %}
    cast(v.{{ amount }} as decimal(18, 2)) as {{ amount }},
    {%- endfor %}
    cast(1e0 * v.commit_evidenced_amount / nullif(v.commit_amount, 0) as decimal(18, 6)) as commit_evidenced_share,
    cast(v.won_amount + v.weighted_open_amount as decimal(18, 2)) as forecast_amount,
    cast(v.quarantined_amount as decimal(18, 2)) as quarantined_amount,
    cast(v.quota_amount as decimal(18, 2)) as quota_amount,
    cast(v.quota_amount - v.won_amount - v.weighted_open_amount as decimal(18, 2)) as gap_amount,
    m.expected_amount as model_amount,
    m.p10_amount,
    m.p50_amount,
    m.p90_amount
from levelled as v
inner join locks as l on v.lock_date = l.lock_date
left join {{ ref('model_rollup') }} as m on v.level = m.level and v.level_id = m.level_id and v.lock_date = m.lock_date
