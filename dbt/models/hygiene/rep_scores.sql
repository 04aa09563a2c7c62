-- One row per rep (with team and segment) and week at whose end they had deals in scope: how many, and how many of them no rule stood
-- against then. In scope: open deals, and closed ones for some weeks after the close (a setting). Weeks count entries and exits, so
-- that no deal is spread over its weeks.

with stands as (

    -- days a deal is in scope, by whose it is
    select
        s.opportunity_id,
        case when s.outcome = 'open' then s.rep_id else coalesce(s.credited_rep_id, s.rep_id) end as rep_id,
        {{ business_date('s.valid_from_at') }} as from_date,
        case
            when s.outcome = 'open' then coalesce({{ business_date('s.valid_to_at') }}, date '9999-12-31')
            else {{ earlier(business_date('s.valid_to_at'), plus_days('s.booking_date', 7 * var('hygiene_closed_weeks'))) }}
        end as to_date
    from {{ ref('fct_opportunity_states') }} as s
    where {{ is_live('s') }}

),

scopes as (

    -- in whole weeks, by how they ended: a day's change holds at its end
    select
        s.opportunity_id,
        s.rep_id,
        coalesce(a.team, 'unassigned') as team,
        coalesce(a.segment, 'unassigned') as segment,
        {{ week_start('greatest(s.from_date, coalesce(a.valid_from_date, s.from_date))') }} as from_week,
        {{ week_start('least(s.to_date, coalesce(a.valid_to_date, s.to_date))') }} as to_week
    from stands as s
    left join {{ ref('int_rep_attributes') }} as a
        on s.rep_id = a.rep_id and {{ holds_between('a', 's.from_date', 's.to_date') }}
    where s.from_date < s.to_date

),

dirty as (

    -- weeks at whose end any rule stood against the deal
    select opportunity_id, min(from_week) as from_week, max(to_week) as to_week
    from (
        select
            *,
            sum(case when dirty_until_week >= from_week then 0 else 1 end)
                over (partition by opportunity_id order by from_week, to_week rows unbounded preceding) as stretch
        from (
            select
                *,
                max(to_week) over (partition by opportunity_id order by from_week, to_week rows between unbounded preceding and 1 preceding) as dirty_until_week
            from (
                select
                    opportunity_id,
                    {{ week_start('first_seen_date') }} as from_week,
                    {{ week_start("coalesce(resolved_date, date '9999-12-31')") }} as to_week
                from {{ ref('exceptions') }}
            ) as exception_weeks
            where from_week < to_week
        ) as followed
    ) as stretches
    group by opportunity_id, stretch

),

steps as (

    select from_week as week_start_date, rep_id, team, segment, 1 as in_scope, 0 as dirty from scopes where from_week < to_week
    union all
    select to_week, rep_id, team, segment, -1, 0 from scopes where from_week < to_week
    union all
    select greatest(s.from_week, d.from_week), s.rep_id, s.team, s.segment, 0, 1
    from scopes as s
    inner join dirty as d on s.opportunity_id = d.opportunity_id and s.from_week < d.to_week and d.from_week < s.to_week
    where s.from_week < s.to_week
    union all
    select least(s.to_week, d.to_week), s.rep_id, s.team, s.segment, 0, -1
    from scopes as s
    inner join dirty as d on s.opportunity_id = d.opportunity_id and s.from_week < d.to_week and d.from_week < s.to_week
    where s.from_week < s.to_week

),

weekly as (

    select week_start_date, rep_id, team, segment, sum(in_scope) as in_scope, sum(dirty) as dirty
    from steps
    group by week_start_date, rep_id, team, segment

),

running as (

    select
        rep_id,
        team,
        segment,
        week_start_date,
        lead(week_start_date) over place as next_week_start_date,
        sum(in_scope) over place as in_scope_count,
        sum(dirty) over place as dirty_count
    from weekly
    window place as (partition by rep_id, team, segment order by week_start_date)

),

weeks as (

    select distinct d.week_start_date, d.week_end_date
    from {{ ref('dim_dates') }} as d
    cross join {{ ref('int_as_of') }} as n
    where d.date_day <= n.as_of_date and d.date_day >= (select min(week_start_date) from running)

)

select
    r.rep_id,
    r.team,
    r.segment,
    w.week_start_date,
    w.week_end_date,
    cast(r.in_scope_count as integer) as records_in_scope_count,
    cast(r.in_scope_count - r.dirty_count as integer) as records_clean_count
from running as r
inner join weeks as w
    on w.week_start_date >= r.week_start_date
    and w.week_start_date < coalesce(r.next_week_start_date, date '9999-12-31')
where r.in_scope_count > 0
