-- One row per rep, period (fiscal quarter or month), team and segment: the quota of the days on the job there.
-- Cents are rounded along the quota's own days, so that months, and the teams of somebody who moved, add up to the whole.

with periods as (

    select 'quarter' as period_type, d.quarter_start_date as period_start_date, d.quarter_end_date as period_end_date, d.fiscal_quarter, d.quarter_start_date
    from {{ ref('dim_dates') }} as d
    inner join (select min(period_start_date) as first_date, max(period_end_date) as last_date from {{ ref('fct_quotas') }}) as s
        on d.quarter_end_date >= s.first_date and d.quarter_start_date <= s.last_date
    group by d.quarter_start_date, d.quarter_end_date, d.fiscal_quarter
    union all
    select 'month', d.month_start_date, max(d.date_day), d.fiscal_quarter, d.quarter_start_date
    from {{ ref('dim_dates') }} as d
    inner join (select min(period_start_date) as first_date, max(period_end_date) as last_date from {{ ref('fct_quotas') }}) as s
        on d.quarter_end_date >= s.first_date and d.quarter_start_date <= s.last_date
    group by d.month_start_date, d.fiscal_quarter, d.quarter_start_date

),

stints as (

    -- days on the job, a leave among them; what is dated after as_of has not happened, so a running period counts whole
    select
        r.rep_id as holder_id,
        r.rep_id,
        coalesce(r.team, 'unassigned') as team,
        coalesce(r.segment, 'unassigned') as segment,
        r.valid_from_date as from_date,
        case when r.valid_to_date <= n.as_of_date then {{ plus_days('r.valid_to_date', -1) }} else date '9999-12-31' end as to_date
    from {{ ref('dim_reps') }} as r
    cross join {{ ref('int_as_of') }} as n
    where r.status <> 'left' and r.valid_from_date <= n.as_of_date
    union all
    -- somebody whom only a quota names
    select distinct q.rep_id, q.rep_id, 'unassigned', 'unassigned', date '1900-01-01', date '9999-12-31'
    from {{ ref('fct_quotas') }} as q
    left join {{ ref('dim_reps') }} as r on q.rep_id = r.rep_id
    where q.rep_id is not null and r.rep_id is null
    union all
    -- a team's own quota belongs to nobody in it
    select distinct '/team/' || q.team, 'unassigned', q.team, coalesce(t.segment, 'unassigned'), date '1900-01-01', date '9999-12-31'
    from {{ ref('fct_quotas') }} as q
    left join (
        select team, case when min(segment) = max(segment) then min(segment) end as segment
        from {{ ref('dim_reps') }}
        where status <> 'left'
        group by team
    ) as t on q.team = t.team
    where q.rep_id is null

),

peoples_quotas as (

    select
        rep_id as holder_id,
        quota_type,
        period_start_date as quota_start_date,
        period_end_date as quota_end_date,
        coalesce(quota_amount_base, 0) as quota_amount_base
    from {{ ref('fct_quotas') }}
    where rep_id is not null and not has_reports

),

quotas as (

    select * from peoples_quotas
    union all
    -- where the team's people have quotas of their own, the team's is their sum told once more
    select '/team/' || t.team, t.quota_type, t.period_start_date, t.period_end_date, coalesce(t.quota_amount_base, 0)
    from {{ ref('fct_quotas') }} as t
    where t.rep_id is null and t.team is not null
        and not exists (
            select 1
            from peoples_quotas as q
            inner join stints as s on q.holder_id = s.holder_id and q.quota_start_date <= s.to_date and q.quota_end_date >= s.from_date
            where s.team = t.team
                and greatest(q.quota_start_date, s.from_date) <= t.period_end_date
                and least(q.quota_end_date, s.to_date) >= t.period_start_date
        )

),

unramped as (

    -- the days on which somebody with ramped quotas has none: before the first, between two, after the last
    select
        holder_id,
        coalesce({{ plus_days('max(quota_end_date) over (partition by holder_id order by quota_start_date, quota_end_date rows between unbounded preceding and 1 preceding)', 1) }},
            date '1900-01-01') as from_date,
        {{ plus_days('quota_start_date', -1) }} as to_date
    from quotas
    where quota_type = 'ramped'
    union all
    select holder_id, {{ plus_days('max(quota_end_date)', 1) }}, date '9999-12-31'
    from quotas
    where quota_type = 'ramped'
    group by holder_id

),

counted as (

    -- the ramped version of a quota is the ramped quota where there is one and the full one elsewhere
    select quota_type as version, holder_id, quota_start_date, quota_end_date, quota_amount_base, quota_start_date as from_date, quota_end_date as to_date
    from quotas
    union all
    select
        'ramped', q.holder_id, q.quota_start_date, q.quota_end_date, q.quota_amount_base,
        greatest(q.quota_start_date, coalesce(u.from_date, q.quota_start_date)),
        least(q.quota_end_date, coalesce(u.to_date, q.quota_end_date))
    from quotas as q
    left join (select distinct holder_id from unramped) as r on q.holder_id = r.holder_id
    left join unramped as u
        on q.holder_id = u.holder_id and u.from_date <= u.to_date and u.from_date <= q.quota_end_date and u.to_date >= q.quota_start_date
    where q.quota_type = 'full' and (r.holder_id is null or u.holder_id is not null)

),

pieces as (

    select
        s.rep_id,
        s.team,
        s.segment,
        p.period_type,
        p.period_start_date,
        p.period_end_date,
        p.fiscal_quarter,
        p.quarter_start_date,
        c.version,
        c.quota_amount_base,
        {{ days_between('c.quota_start_date', 'greatest(c.from_date, s.from_date, p.period_start_date)') }} as days_before,
        {{ days_between('c.quota_start_date', 'least(c.to_date, s.to_date, p.period_end_date)') }} + 1 as days_by_end,
        {{ days_between('c.quota_start_date', 'c.quota_end_date') }} + 1 as quota_days
    from counted as c
    inner join stints as s on c.holder_id = s.holder_id and c.from_date <= s.to_date and c.to_date >= s.from_date
    inner join periods as p
        on p.period_start_date <= least(c.to_date, s.to_date) and p.period_end_date >= greatest(c.from_date, s.from_date)

),

prorated as (

    select
        *,
        round(quota_amount_base * days_by_end / nullif(quota_days, 0), 2) - round(quota_amount_base * days_before / nullif(quota_days, 0), 2) as amount
    from pieces

)

select
    rep_id,
    period_type,
    period_start_date,
    period_end_date,
    fiscal_quarter,
    quarter_start_date,
    team,
    segment,
    cast(sum(case when version = 'full' then amount else 0 end) as decimal(18, 2)) as full_quota_amount,
    cast(sum(case when version = 'ramped' then amount else 0 end) as decimal(18, 2)) as ramped_quota_amount
from prorated
group by rep_id, period_type, period_start_date, period_end_date, fiscal_quarter, quarter_start_date, team, segment
