-- No completed activity for more days than the threshold; the clock starts anew with each activity, and when the deal is opened.
-- Days within one bucket as wide as the limit are never too far apart, so only each bucket's first and last day are looked at:
-- ten million activities are grouped, not sorted.

with touched as (

    select
        opportunity_id,
        min(activity_date) as first_date,
        max(activity_date) as last_date
    from {{ ref('fct_activities') }}
    cross join (select {{ rule_threshold('no_recent_activity') }} as days) as quiet
    where is_completed and opportunity_id is not null
    group by opportunity_id, floor({{ day_number('activity_date') }} / nullif(quiet.days + 1, 0))

),

opened as (

    -- stretches in which a deal stands open, whatever else changes about it
    select opportunity_id, min(valid_from_at) as from_at, nullif(max(coalesce(valid_to_at, timestamp '9999-12-31 00:00:00')), timestamp '9999-12-31 00:00:00') as to_at
    from (
        select
            *,
            sum(starts) over (partition by opportunity_id order by valid_from_at rows unbounded preceding) as stretch
        from (
            select
                s.opportunity_id,
                s.valid_from_at,
                s.valid_to_at,
                case when lag(s.valid_to_at) over (partition by s.opportunity_id order by s.valid_from_at) = s.valid_from_at then 0 else 1 end as starts
            from {{ ref('fct_opportunity_states') }} as s
            where s.outcome = 'open' and {{ is_live('s') }}
        ) as states
    ) as stretches
    group by opportunity_id, stretch

),

touches as (

    -- the opening counts as the first one
    select opportunity_id, from_at, to_at, {{ business_date('from_at') }} as first_date, {{ business_date('from_at') }} as last_date
    from opened
    union all
    select o.opportunity_id, o.from_at, o.to_at, greatest(t.first_date, {{ business_date('o.from_at') }}), t.last_date
    from opened as o
    inner join touched as t on o.opportunity_id = t.opportunity_id
    where t.last_date > {{ business_date('o.from_at') }}
        and (o.to_at is null or t.first_date <= {{ business_date('o.to_at') }})

),

gaps as (

    select
        *,
        lead(first_date) over (partition by opportunity_id, from_at order by first_date, last_date) as next_date
    from touches

)

select
    g.opportunity_id,
    {{ start_of_business_date(plus_days('g.last_date', 'cast(quiet.days as integer) + 1')) }} as from_at,
    {{ earlier('g.to_at', start_of_business_date('g.next_date')) }} as to_at,
    'nothing since ' || cast(g.last_date as varchar) as evidence
from gaps as g
inner join {{ ref('int_opportunities') }} as d on g.opportunity_id = d.opportunity_id
cross join (select {{ rule_threshold('no_recent_activity') }} as days) as quiet
where {{ start_of_business_date(plus_days('g.last_date', 'cast(quiet.days as integer) + 1')) }}
    < coalesce({{ earlier('g.to_at', start_of_business_date('g.next_date')) }}, timestamp '9999-12-31 00:00:00')
    and d.source_system in (
        select k.source_system from {{ ref('int_opportunities') }} as k inner join touched as t on k.opportunity_id = t.opportunity_id
    )
