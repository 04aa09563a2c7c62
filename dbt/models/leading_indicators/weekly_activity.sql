-- One row per level, week and activity type: what was done, how much of it somebody answered, how many accounts and open deals
-- it touched, and how many working days there were to do it in. Who was on the job and did nothing has a row of zeros.

{%- set touched = {'account': 'account_id', 'open_deal': 'opportunity_id'} %}

with places as (

    -- where a rep stood, by number, for what follows handles every activity there is; 0 is nobody
    select
        row_number() over (order by rep_id, valid_from_date) as place,
        segment,
        team,
        rep_id,
        valid_from_date,
        valid_to_date
    from {{ ref('int_rep_attributes') }}

    union all

    select 0, 'unassigned', 'unassigned', 'unassigned', null, null

),

accounts as (

    select
        coalesce(p.place, 0) as place,
        a.week_start_date,
        a.type as activity_type,
        a.account_id,
        count(*) as completed_count,
        sum(case when a.is_two_way then 1 else 0 end) as two_way_count
    from {{ ref('fct_activities') }} as a
    left join places as p on a.rep_id = p.rep_id and {{ holds_on('p', 'a.activity_date') }}
    where {{ is_effort('a') }}
    group by 1, 2, 3, 4

),

open_deals as (

    select distinct coalesce(p.place, 0) as place, a.week_start_date, a.type as activity_type, a.opportunity_id
    from {{ ref('fct_activities') }} as a
    inner join {{ ref('fct_open_periods') }} as o
        on a.opportunity_id = o.opportunity_id
        and a.activity_date >= o.open_from_date
        and a.activity_date <= coalesce(o.open_to_date, date '9999-12-31')
    left join places as p on a.rep_id = p.rep_id and {{ holds_on('p', 'a.activity_date') }}
    where {{ is_effort('a') }}

),

done as (

    select
        place, week_start_date, activity_type,
        sum(completed_count) as completed_count,
        sum(two_way_count) as two_way_count,
        count(account_id) as account_count,
        0 as open_deal_count
    from accounts
    group by place, week_start_date, activity_type

    union all

    select place, week_start_date, activity_type, 0, 0, 0, count(*)
    from open_deals
    group by place, week_start_date, activity_type

),

working_days as (

    -- before the week of the first activity nobody logged; who is not a rep counts in the weeks in which they did something
    select w.segment, w.team, w.rep_id, w.week_start_date, count(*) as working_day_count
    from {{ ref('int_rep_working_days') }} as w
    left join (
        select distinct p.rep_id, d.week_start_date
        from done as d
        inner join places as p on d.place = p.place
    ) as d on w.rep_id = d.rep_id and w.week_start_date = d.week_start_date
    where (w.role = 'rep' or d.rep_id is not null)
        and w.week_start_date >= (select min(a.week_start_date) from {{ ref('fct_activities') }} as a where {{ is_effort('a') }})
    group by w.segment, w.team, w.rep_id, w.week_start_date

),

leaves as (

    select
        p.segment, p.team, p.rep_id, d.week_start_date, d.activity_type,
        d.completed_count, d.two_way_count, d.account_count, d.open_deal_count, 0 as working_day_count
    from done as d
    inner join places as p on d.place = p.place
    {% for type in activity_types() %}
    union all
    select segment, team, rep_id, week_start_date, '{{ type }}', 0, 0, 0, 0, working_day_count
    from working_days
    {% endfor %}

),

levelled as (

    {% for level, id in levels().items() %}
    select
        '{{ level }}' as level,
        {{ id }} as level_id,
        week_start_date,
        activity_type,
        sum(completed_count) as completed_count,
        sum(two_way_count) as two_way_count,
        sum(account_count) as account_count,
        sum(open_deal_count) as open_deal_count,
        sum(working_day_count) as working_day_count
    from leaves
    group by 1, 2, 3, 4
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

{%- for thing, id in touched.items() %}

shared_{{ thing }}s as (

    -- the few that were touched from more than one place in a week
    select t.week_start_date, t.activity_type, t.{{ id }}, p.segment, p.team, p.rep_id
    from {{ thing }}s as t
    inner join (
        select week_start_date, activity_type, {{ id }}
        from {{ thing }}s
        group by week_start_date, activity_type, {{ id }}
        having min(place) <> max(place)
    ) as s
        on t.week_start_date = s.week_start_date and t.activity_type = s.activity_type and t.{{ id }} = s.{{ id }}
    inner join places as p on t.place = p.place

),

repeated_{{ thing }}s as (

    -- touched from n places of a level, they stand n - 1 times too often in its sum
    {% for level, level_id in levels().items() %}
    select
        '{{ level }}' as level, {{ level_id }} as level_id, week_start_date, activity_type,
        count(*) - count(distinct {{ id }}) as repeated_count
    from shared_{{ thing }}s
    group by 1, 2, 3, 4
    {{ 'union all' if not loop.last }}
    {% endfor %}

),
{%- endfor %}

counted as (

    select
        l.level,
        l.level_id,
        l.week_start_date,
        l.activity_type,
        l.completed_count,
        l.two_way_count,
        {%- for thing in touched %}
        l.{{ thing }}_count - coalesce({{ thing }}s.repeated_count, 0) as {{ thing }}_count,
        {%- endfor %}
        l.working_day_count
    from levelled as l
    {%- for thing in touched %}
    left join repeated_{{ thing }}s as {{ thing }}s
        on l.level = {{ thing }}s.level
        and l.level_id = {{ thing }}s.level_id
        and l.week_start_date = {{ thing }}s.week_start_date
        and l.activity_type = {{ thing }}s.activity_type
    {%- endfor %}

)

select
    c.level,
    c.level_id,
    c.week_start_date,
    d.week_end_date,
    d.week_fiscal_quarter as fiscal_quarter,
    d.week_quarter_start_date as quarter_start_date,
    d.week_of_quarter,
    d.week_end_date <= n.lock_date as is_complete,
    c.activity_type,
    cast(c.completed_count as bigint) as completed_count,
    cast(c.two_way_count as bigint) as two_way_count,
    cast(1e0 * c.two_way_count / nullif(c.completed_count, 0) as decimal(9, 6)) as two_way_rate,
    cast(c.account_count as bigint) as account_count,
    cast(c.open_deal_count as bigint) as open_deal_count,
    cast(c.working_day_count as bigint) as working_day_count,
    {%- for column, count in {
        'completed': 'completed_count', 'two_way': 'two_way_count', 'accounts': 'account_count', 'open_deals': 'open_deal_count'
    }.items() %}
    cast(1e0 * c.{{ count }} / nullif(c.working_day_count, 0) as decimal(18, 4)) as {{ column }}_per_working_day,
    {%- endfor %}
    c.completed_count < {{ var('minimum_n') }} as is_small_sample
from counted as c
inner join {{ ref('dim_dates') }} as d on c.week_start_date = d.date_day
cross join {{ ref('int_as_of') }} as n
