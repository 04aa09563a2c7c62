-- One row per level, lead source, deal type, self-sourced or given, and week: deals that first entered pipeline, with their
-- amount on entry; the same events as the waterfall's created_amount.

with entries as (

    select
        m.week_start_date,
        m.rep_id,
        m.team,
        m.segment,
        coalesce(o.lead_source, 'unknown') as lead_source,
        coalesce(o.type, 'unknown') as deal_type,
        coalesce(o.is_self_sourced, false) as is_self_sourced,
        count(*) as deal_count,
        sum(m.amount_base) as created_amount
    from {{ ref('fct_pipeline_movements') }} as m
    inner join {{ ref('fct_opportunities') }} as o on m.opportunity_id = o.opportunity_id
    where m.movement = 'created'
    group by 1, 2, 3, 4, 5, 6, 7

),

levelled as (

    {% for level, id in levels().items() %}
    select '{{ level }}' as level, {{ id }} as level_id, week_start_date, lead_source, deal_type, is_self_sourced, deal_count, created_amount
    from entries
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    l.level,
    l.level_id,
    l.week_start_date,
    d.week_end_date,
    d.week_fiscal_quarter as fiscal_quarter,
    d.week_quarter_start_date as quarter_start_date,
    d.week_of_quarter,
    d.week_end_date <= n.lock_date as is_complete,
    l.lead_source,
    l.deal_type,
    l.is_self_sourced,
    cast(sum(l.deal_count) as bigint) as created_deal_count,
    cast(sum(l.created_amount) as decimal(18, 2)) as created_amount
from levelled as l
inner join {{ ref('dim_dates') }} as d on l.week_start_date = d.date_day
cross join {{ ref('int_as_of') }} as n
group by
    l.level, l.level_id, l.week_start_date, d.week_end_date, d.week_fiscal_quarter, d.week_quarter_start_date, d.week_of_quarter,
    n.lock_date, l.lead_source, l.deal_type, l.is_self_sourced
