-- One row per level and fiscal quarter up to the lock's: what the four levers are made of, to the quarter's end (to the lock in the
-- running one), and again to the day of the quarter at which the running one stands; with quota and peers.
{{ config(schema='intermediate') }}

{%- set measures = {
    'deal_count': '1', 'closed_count': "case when outcome <> 'open' then 1 else 0 end",
    'won_count': "case when outcome = 'won' then 1 else 0 end", 'won_amount': 'won_amount_base',
    'winning_days': 'coalesce(days_to_win, 0)', 'timed_win_count': 'case when days_to_win is not null then 1 else 0 end',
} %}

with quarters as (

    select
        q.fiscal_quarter,
        q.quarter_start_date,
        q.quarter_end_date,
        q.quarter_number,
        n.lock_date >= q.quarter_end_date as is_complete,
        q.quarter_start_date >= {{ business_date('n.history_starts_at') }} as is_whole,
        least(n.lock_date, q.quarter_end_date) as measured_to_date,
        -- the day of its quarter on which the newest one stands
        case
            when max(q.quarter_end_date) over () > n.lock_date
                then {{ days_between('max(q.quarter_start_date) over ()', 'n.lock_date') }}
            else 1000
        end as day_of_quarter
    from (
        select
            fiscal_quarter, quarter_start_date, quarter_end_date,
            row_number() over (order by quarter_start_date) as quarter_number
        from {{ ref('dim_dates') }}
        group by fiscal_quarter, quarter_start_date, quarter_end_date
    ) as q
    inner join {{ ref('int_as_of') }} as n on q.quarter_start_date <= n.lock_date

),

deals as (

    select
        d.rep_id,
        d.team,
        d.segment,
        d.quarter_start_date,
        q.measured_to_date,
        q.day_of_quarter,
        case when d.closed_date <= q.measured_to_date then d.outcome else 'open' end as outcome,
        case when d.closed_date <= q.measured_to_date then d.won_amount_base else 0 end as won_amount_base,
        case when d.closed_date <= q.measured_to_date then d.days_to_win end as days_to_win,
        {{ days_between('d.quarter_start_date', 'd.in_play_from_date') }} as from_day,
        {{ days_between('d.quarter_start_date', 'd.closed_date') }} as closed_day
    from {{ ref('fct_deals_in_play') }} as d
    inner join quarters as q on d.quarter_start_date = q.quarter_start_date and d.in_play_from_date <= q.measured_to_date

),

cells as (

    select
        rep_id,
        team,
        segment,
        quarter_start_date,
        0 as quota_amount,
        {%- for measure, value in measures.items() %}
        sum({{ value }}) as {{ measure }},
        sum(case when {{ 'from_day' if measure == 'deal_count' else 'closed_day' }} <= day_of_quarter then {{ value }} else 0 end)
            as {{ measure }}_by_day{{ ',' if not loop.last }}
        {%- endfor %}
    from deals
    group by rep_id, team, segment, quarter_start_date

    union all

    select
        p.rep_id, p.team, p.segment, p.quarter_start_date, p.full_quota_amount
        {%- for measure in measures %}, 0, 0{% endfor %}
    from {{ ref('fct_quota_periods') }} as p
    inner join quarters as q on p.quarter_start_date = q.quarter_start_date
    where p.period_type = 'quarter'

),

levelled as (

    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        {{ id }} as level_id,
        quarter_start_date,
        sum(quota_amount) as quota_amount,
        {%- for measure in measures %}
        sum({{ measure }}) as {{ measure }},
        sum({{ measure }}_by_day) as {{ measure }}_by_day{{ ',' if not loop.last }}
        {%- endfor %}
    from cells
    group by 1, 2, 3
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

teams as (

    -- a team whose people share one segment belongs to it
    select team, case when min(segment) = max(segment) then min(segment) end as segment
    from {{ ref('int_rep_attributes') }}
    group by team

)

select
    v.level,
    v.level_id,
    q.fiscal_quarter,
    q.quarter_start_date,
    q.quarter_end_date,
    cast(q.quarter_number as integer) as quarter_number,
    q.is_complete,
    q.is_whole,
    q.measured_to_date,
    cast(q.day_of_quarter as integer) as day_of_quarter,
    case v.level when 'rep' then a.segment when 'team' then t.segment end as peer_group,
    v.quota_amount > 0 and v.deal_count > 0 as is_peer,
    cast(v.quota_amount as decimal(18, 2)) as quota_amount,
    {%- for measure in measures %}
    {%- set type = 'decimal(18, 2)' if measure == 'won_amount' else 'bigint' %}
    cast(v.{{ measure }} as {{ type }}) as {{ measure }},
    cast(v.{{ measure }}_by_day as {{ type }}) as {{ measure }}_by_day{{ ',' if not loop.last }}
    {%- endfor %}
from levelled as v
inner join quarters as q on v.quarter_start_date = q.quarter_start_date
left join {{ ref('int_rep_attributes') }} as a
    on v.level = 'rep' and v.level_id = a.rep_id
    and {{ holds_on('a', 'q.measured_to_date') }}
left join teams as t on v.level = 'team' and v.level_id = t.team
where v.quota_amount <> 0 or v.deal_count > 0
