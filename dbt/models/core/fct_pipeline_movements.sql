-- One row per deal, business day and movement: how pipeline money came, changed bucket, changed size and went.
-- A bucket is (owner with team and segment, fiscal quarter of the close date). All changes of a deal in one business day are
-- one event, from the day before's end to this day's end, told in a fixed order: owner, close date, amount, currency, entry
-- or exit. Nothing is a residual: a deal's movements add up to what it is worth in pipeline now.
{{ catch_up_by_deal('int_opportunities_revalued') }}

{%- set no_quarter = "date '9999-12-31'" %}

with day_ends as (

    -- the last state of each business day on which a deal changed
    select
        *,
        lead(state_date) over (partition by opportunity_id order by state_date) as next_state_date
    from (
        select
            opportunity_id,
            {{ business_date('valid_from_at') }} as state_date,
            row_number() over (partition by opportunity_id, {{ business_date('valid_from_at') }} order by valid_from_at desc) as from_last,
            max(case when is_in_pipeline then 1 else 0 end)
                over (partition by opportunity_id, {{ business_date('valid_from_at') }}) as was_in_pipeline_that_day,
            is_in_pipeline,
            outcome,
            is_deleted,
            merged_into_id,
            rep_id,
            coalesce(amount, 0) as amount,
            currency_code,
            case when outcome = 'open' then close_date else booking_date end as target_date,
            booking_date
        from {{ ref('fct_opportunity_states') }}
        where not is_excluded and {{ is_built_now('opportunity_id', 'int_opportunities_revalued') }}
    ) as states
    where from_last = 1

),

pieces as (

    -- while a deal is in pipeline its day ends are split where the owner's team, or the rate, changes
    select
        d.opportunity_id,
        greatest(d.state_date, coalesce(a.valid_from_date, d.state_date), coalesce(r.valid_from_date, d.state_date)) as movement_date,
        d.is_in_pipeline,
        d.was_in_pipeline_that_day = 1 as was_in_pipeline_that_day,
        d.outcome,
        d.is_deleted,
        d.merged_into_id,
        d.rep_id,
        coalesce(a.team, 'unassigned') as team,
        coalesce(a.segment, 'unassigned') as segment,
        coalesce(q.quarter_start_date, {{ no_quarter }}) as quarter,
        d.amount,
        -- a closed deal is worth the dated rate of its booking date, an open one the rate for open deals on the day
        coalesce(case when d.outcome = 'open' then r.rate_to_base else coalesce(b.rate_to_base, r.rate_to_base) end, 0) as rate
    from (
        select
            *,
            case when is_in_pipeline then next_state_date else {{ plus_days('state_date', 1) }} end as end_date
        from day_ends
    ) as d
    left join {{ ref('int_rep_attributes') }} as a
        on d.rep_id = a.rep_id
        and {{ holds_between('a', 'd.state_date', 'd.end_date') }}
        and a.valid_from_date <= (select as_of_date from {{ ref('int_as_of') }})
    left join {{ ref('int_valuation_rates') }} as r
        on d.currency_code = r.currency_code
        and {{ holds_between('r', 'd.state_date', 'd.end_date') }}
        and r.valid_from_date <= (select as_of_date from {{ ref('int_as_of') }})
    left join {{ ref('int_currency_rates') }} as b
        on d.currency_code = b.currency_code
        and b.rate_type = 'dated'
        and {{ holds_on('b', 'd.booking_date') }}
    left join {{ ref('dim_dates') }} as q on d.target_date = q.date_day
    -- the owner's team and the rate must have held at the same time
    where (a.valid_to_date is null or r.valid_from_date is null or r.valid_from_date < a.valid_to_date)
        and (r.valid_to_date is null or a.valid_from_date is null or a.valid_from_date < r.valid_to_date)

),

valued as (

    select
        *,
        {{ cents('amount', 'rate') }} as amount_base
    from pieces

),

events as (

    select
        v.*,
        coalesce(lag(is_in_pipeline) over (partition by v.opportunity_id order by v.movement_date), false) as was_in_pipeline,
        coalesce(max(case when is_in_pipeline then 1 else 0 end) over (partition by v.opportunity_id order by v.movement_date rows between unbounded preceding and 1 preceding), 0) = 1 as had_been_in_pipeline,
        lag(outcome) over (partition by v.opportunity_id order by v.movement_date) as outcome_before,
        lag(is_deleted) over (partition by v.opportunity_id order by v.movement_date) as was_deleted,
        lag(merged_into_id) over (partition by v.opportunity_id order by v.movement_date) as merged_into_before,
        lag(rep_id) over (partition by v.opportunity_id order by v.movement_date) as rep_before,
        lag(team) over (partition by v.opportunity_id order by v.movement_date) as team_before,
        lag(segment) over (partition by v.opportunity_id order by v.movement_date) as segment_before,
        lag(quarter) over (partition by v.opportunity_id order by v.movement_date) as quarter_before,
        lag(rate) over (partition by v.opportunity_id order by v.movement_date) as rate_before,
        lag(amount_base) over (partition by v.opportunity_id order by v.movement_date) as amount_base_before,
        s.survivor_id is not null as is_merge_survivor
    from valued as v
    left join (
        -- the day a deal took another one in
        select distinct merged_into_id as survivor_id, {{ business_date('valid_from_at') }} as merge_date
        from {{ ref('fct_opportunity_states') }}
        where merged_into_id is not null
    ) as s on v.opportunity_id = s.survivor_id and v.movement_date = s.merge_date

),

steps as (

    -- owner: out of the old owner's bucket, into the new one's, both in the quarter it stood in
    select
        opportunity_id, movement_date, 1 as movement_order, 'reassigned_out' as movement,
        rep_before as rep_id, team_before as team, segment_before as segment, quarter_before as quarter,
        -amount_base_before as amount_base,
        rep_id <> rep_before as crosses_rep, team <> team_before as crosses_team, segment <> segment_before as crosses_segment
    from events
    where was_in_pipeline and (rep_id <> rep_before or team <> team_before or segment <> segment_before)

    union all

    select
        opportunity_id, movement_date, 2, 'reassigned_in',
        rep_id, team, segment, quarter_before, amount_base_before,
        rep_id <> rep_before, team <> team_before, segment <> segment_before
    from events
    where was_in_pipeline and (rep_id <> rep_before or team <> team_before or segment <> segment_before)

    union all

    -- close date: between quarters; a deal without one stands in the last bucket of all
    select
        opportunity_id, movement_date, 3, case when quarter < quarter_before then 'pulled_out' else 'pushed_out' end,
        rep_id, team, segment, quarter_before, -amount_base_before, true, true, true
    from events
    where was_in_pipeline and quarter <> quarter_before

    union all

    select
        opportunity_id, movement_date, 4, case when quarter < quarter_before then 'pulled_in' else 'pushed_in' end,
        rep_id, team, segment, quarter, amount_base_before, true, true, true
    from events
    where was_in_pipeline and quarter <> quarter_before

    union all

    -- amount, at the rate it was worth so far
    select
        opportunity_id, movement_date, 5,
        case when {{ cents('amount', 'rate_before') }} > amount_base_before then 'increased' else 'decreased' end,
        rep_id, team, segment, quarter, {{ cents('amount', 'rate_before') }} - amount_base_before, true, true, true
    from events
    where was_in_pipeline and {{ cents('amount', 'rate_before') }} <> amount_base_before

    union all

    -- currency: a new rate, another currency, or the step from plan to dated rate at closing
    select
        opportunity_id, movement_date, 6, 'currency',
        rep_id, team, segment, quarter, amount_base - {{ cents('amount', 'rate_before') }}, true, true, true
    from events
    where was_in_pipeline and amount_base <> {{ cents('amount', 'rate_before') }}

    union all

    -- entry; a deal that first entered and left within the day shows both
    select
        opportunity_id, movement_date, 7,
        case
            when is_merge_survivor and not had_been_in_pipeline then 'merged'
            when not had_been_in_pipeline then 'created'
            when was_deleted or merged_into_before is not null then 'restored'
            else 'reopened'
        end,
        rep_id, team, segment, quarter, amount_base, true, true, true
    from events
    where not was_in_pipeline and (is_in_pipeline or (was_in_pipeline_that_day and not had_been_in_pipeline))

    union all

    -- exit
    select
        opportunity_id, movement_date, 8,
        case
            when merged_into_id is not null then 'merged'
            when is_deleted then 'deleted'
            when outcome = 'won' then 'won'
            when outcome = 'lost' then 'lost'
            else 'withdrawn'
        end,
        rep_id, team, segment, quarter, -amount_base, true, true, true
    from events
    where not is_in_pipeline and (was_in_pipeline or (was_in_pipeline_that_day and not had_been_in_pipeline))

)

select
    s.opportunity_id,
    s.movement_date,
    d.week_start_date,
    cast(s.movement_order as integer) as movement_order,
    s.movement,
    s.rep_id,
    s.team,
    s.segment,
    coalesce(q.fiscal_quarter, 'unscheduled') as target_fiscal_quarter,
    q.quarter_start_date as target_quarter_start_date,
    cast(s.amount_base as decimal(18, 2)) as amount_base,
    s.crosses_rep,
    s.crosses_team,
    s.crosses_segment
from steps as s
inner join {{ ref('dim_dates') }} as d on s.movement_date = d.date_day
left join {{ ref('dim_dates') }} as q on s.quarter = q.date_day
