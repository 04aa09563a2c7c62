-- One row per rep, target quarter, team, segment and day on which the full quota they were known to carry there changed, signed:
-- coming adds the rest of the quarter, going takes it away. Summed up to a day it is the quota as known then, a stay going on
-- taken to last; summed to the end it is fct_quota_periods.

with quarters as (

    select distinct fiscal_quarter, quarter_start_date, quarter_end_date
    from {{ ref('dim_dates') }}

),

stays as (

    -- stretches on the job, a leave among them; what is dated after as_of has not happened
    select
        r.rep_id,
        coalesce(r.team, 'unassigned') as team,
        coalesce(r.segment, 'unassigned') as segment,
        r.valid_from_date as from_date,
        case when r.valid_to_date <= n.as_of_date then r.valid_to_date end as to_date
    from {{ ref('dim_reps') }} as r
    cross join {{ ref('int_as_of') }} as n
    where r.status <> 'left' and r.valid_from_date <= n.as_of_date

),

parts as (

    -- of each quota and quarter, the part that lies ahead of a stay when it begins
    select
        s.rep_id,
        s.team,
        s.segment,
        s.from_date,
        s.to_date,
        p.fiscal_quarter,
        p.quarter_start_date,
        coalesce(q.quota_amount_base, 0) as quota_amount_base,
        q.period_start_date as quota_start_date,
        {{ days_between('q.period_start_date', 'q.period_end_date') }} + 1 as quota_days,
        greatest(q.period_start_date, p.quarter_start_date, s.from_date) as part_start_date,
        {{ plus_days('least(q.period_end_date, p.quarter_end_date)', 1) }} as part_end_date
    from stays as s
    inner join {{ ref('fct_quotas') }} as q
        on s.rep_id = q.rep_id and q.period_end_date >= s.from_date
    inner join quarters as p
        on q.period_start_date <= p.quarter_end_date and q.period_end_date >= p.quarter_start_date and p.quarter_end_date >= s.from_date
    where q.quota_type = 'full' and not q.has_reports

),

prorated as (

    -- cents are rounded along the quota's own days, so that parts add up to the whole; as decimals, so that what goes and comes
    -- back on one day adds up to nothing
    {%- set days = {'start': 'part_start_date', 'going': 'greatest(to_date, part_start_date)', 'end': 'part_end_date'} %}
    select
        *,
        {%- for name, day in days.items() %}
        cast(round(quota_amount_base * {{ days_between('quota_start_date', day) }} / nullif(quota_days, 0), 2) as decimal(18, 2)) as amount_by_{{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from parts

),

changes as (

    select
        rep_id, team, segment, fiscal_quarter, quarter_start_date, from_date as change_date, amount_by_end - amount_by_start as quota_amount
    from prorated

    union all

    select rep_id, team, segment, fiscal_quarter, quarter_start_date, to_date, amount_by_going - amount_by_end
    from prorated
    where to_date < part_end_date

    union all

    -- a team's own quota, or that of somebody whom only a quota names, is carried all along
    select
        p.rep_id, p.team, p.segment, p.fiscal_quarter, p.quarter_start_date, date '1900-01-01', p.full_quota_amount
    from {{ ref('fct_quota_periods') }} as p
    left join (select distinct rep_id from {{ ref('dim_reps') }}) as r on p.rep_id = r.rep_id
    where p.period_type = 'quarter' and r.rep_id is null

)

select
    rep_id,
    fiscal_quarter,
    quarter_start_date,
    team,
    segment,
    change_date,
    cast(sum(quota_amount) as decimal(18, 2)) as full_quota_amount
from changes
group by rep_id, fiscal_quarter, quarter_start_date, team, segment, change_date
having sum(quota_amount) <> 0
