-- One row per lead source, campaign and month in which leads were created: how many were qualified, converted and won by now, for
-- how much, how long each step took, and whether the month is old enough to be judged.

{%- set steps = {
    'qualified': ('created_date', 'qualified_date'),
    'converted': ('qualified_date', 'converted_date'),
    'won': ('converted_date', 'won_date'),
} %}

with deals as (

    -- a deal merged away lives on in its survivor
    select
        o.opportunity_id as told_id,
        s.opportunity_id,
        s.outcome,
        s.won_amount_base,
        s.booking_date
    from {{ ref('fct_opportunities') }} as o
    inner join {{ ref('fct_opportunities') }} as s on coalesce(o.merged_into_id, o.opportunity_id) = s.opportunity_id
    where not s.is_deleted and not s.is_excluded and s.merged_into_id is null

),

leads as (

    select
        l.lead_id,
        coalesce(nullif(l.lead_source, ''), 'unknown') as lead_source,
        coalesce(l.campaign_id, 'none') as campaign_id,
        {{ business_date('l.created_at') }} as created_date,
        {{ business_date('l.qualified_at') }} as qualified_date,
        {{ business_date('l.converted_at') }} as converted_date,
        case when d.outcome = 'won' then d.booking_date end as won_date,
        case when l.qualified_at is not null or l.converted_at is not null or d.opportunity_id is not null then 1 else 0 end as is_qualified,
        case when l.converted_at is not null or d.opportunity_id is not null then 1 else 0 end as is_converted,
        case when d.outcome = 'won' then 1 else 0 end as is_won,
        case when d.outcome = 'open' then 1 else 0 end as is_deal_open,
        coalesce(d.won_amount_base, 0) as won_amount_base,
        -- of the leads behind one deal the first has its money
        row_number() over (partition by d.opportunity_id order by l.created_at, l.lead_id) as place,
        n.as_of_date
    from {{ ref('int_leads') }} as l
    cross join {{ ref('int_as_of') }} as n
    left join deals as d on l.opportunity_id = d.told_id
    where l.created_at is not null

),

pace as (

    -- the age by which all but one in twenty of the leads that ever converted had done so; unknown where few ever did
    select case when count(*) >= {{ var('minimum_n') }} then {{ percentile('days_to_convert', 0.95) }} end as usual_days
    from (
        select {{ days_between('created_date', 'converted_date') }} as days_to_convert
        from leads
        where converted_date >= created_date
    ) as conversions

),

followed as (

    -- still in play: a deal that is open, or a lead no older than conversions usually take
    select
        l.*,
        case
            when l.is_deal_open = 1 then 1
            when l.is_converted = 0 and {{ days_between('l.created_date', 'l.as_of_date') }} <= coalesce(p.usual_days, 1e9) then 1
            else 0
        end as is_open,
        {%- for step, dates in steps.items() %}
        case when l.{{ dates[1] }} >= l.{{ dates[0] }} then {{ days_between('l.' ~ dates[0], 'l.' ~ dates[1]) }} end as days_to_{{ step }}{{ ',' if not loop.last }}
        {%- endfor %}
    from leads as l
    cross join pace as p

)

select
    l.lead_source,
    l.campaign_id,
    max(c.campaign_name) as campaign_name,
    d.month_start_date,
    d.fiscal_quarter,
    d.quarter_start_date,
    cast(count(*) as bigint) as lead_count,
    cast(sum(l.is_qualified) as bigint) as qualified_count,
    cast(sum(l.is_converted) as bigint) as converted_count,
    cast(sum(l.is_won) as bigint) as won_count,
    cast(sum(case when l.place = 1 then l.is_won else 0 end) as bigint) as won_deal_count,
    cast(sum(case when l.place = 1 and l.is_won = 1 then l.won_amount_base else 0 end) as decimal(18, 2)) as won_amount,
    cast(sum(l.is_open) as bigint) as open_count,
    cast(1e0 * sum(l.is_qualified) / nullif(count(*), 0) as decimal(9, 6)) as qualified_rate,
    cast(1e0 * sum(l.is_converted) / nullif(count(*), 0) as decimal(9, 6)) as converted_rate,
    cast(1e0 * sum(l.is_won) / nullif(count(*), 0) as decimal(9, 6)) as won_rate,
    {%- for step in steps %}
    cast(count(l.days_to_{{ step }}) as bigint) as timed_{{ step }}_count,
    cast(coalesce(sum(l.days_to_{{ step }}), 0) as bigint) as total_days_to_{{ step }},
    cast(1e0 * sum(l.days_to_{{ step }}) / nullif(count(l.days_to_{{ step }}), 0) as decimal(18, 4)) as mean_days_to_{{ step }},
    cast({{ percentile('l.days_to_' ~ step, 0.5) }} as decimal(18, 4)) as median_days_to_{{ step }},
    {%- endfor %}
    sum(l.is_open) < {{ var('mature_open_share') }} * count(*) as is_mature,
    count(*) < {{ var('minimum_n') }} as is_small_sample
from followed as l
inner join {{ ref('dim_dates') }} as d on l.created_date = d.date_day
left join {{ ref('int_campaigns') }} as c on l.campaign_id = c.campaign_id
group by l.lead_source, l.campaign_id, d.month_start_date, d.fiscal_quarter, d.quarter_start_date
