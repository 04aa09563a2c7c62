-- One row per deal and stay in a stage. A re-entry is a new stay; an edit of the amount, or a stage renamed or reordered
-- under the deal, is not. Time during which the deal was deleted belongs to no stay.
{{ catch_up_by_deal('int_opportunities_revalued') }}
-- whoever stayed stays a little longer
{{ config(post_hook="{% if is_catching_up() %} update {{ this }} set days_in_stage = {{ elapsed_days('entered_at', '(select as_of_at from ' ~ ref('int_as_of') ~ ')') }} where exited_at is null {% endif %}") }}

with states as (

    select
        opportunity_id,
        valid_from_at,
        valid_to_at,
        pipeline,
        stage,
        stage_order,
        outcome,
        rep_id,
        is_deleted,
        merged_into_id is not null as is_merged,
        lag(stage_order) over (partition by opportunity_id order by valid_from_at) as stage_order_before,
        lag(pipeline || '/' || stage || case when is_deleted or merged_into_id is not null then '/gone' else '' end)
            over (partition by opportunity_id order by valid_from_at) as place_before,
        pipeline || '/' || stage || case when is_deleted or merged_into_id is not null then '/gone' else '' end as place
    from {{ ref('fct_opportunity_states') }}
    where stage is not null and {{ is_built_now('opportunity_id', 'int_opportunities_revalued') }}

),

entries as (

    select
        *,
        lead(valid_from_at) over (partition by opportunity_id order by valid_from_at) as exited_at,
        lead(stage_order) over (partition by opportunity_id order by valid_from_at) as next_stage_order,
        -- stages may have been reordered under the deal: where this one stood when it was left
        lead(stage_order_before) over (partition by opportunity_id order by valid_from_at) as stage_order_on_exit,
        lead(outcome) over (partition by opportunity_id order by valid_from_at) as next_outcome,
        lead(is_deleted) over (partition by opportunity_id order by valid_from_at) as is_next_deleted,
        lead(is_merged) over (partition by opportunity_id order by valid_from_at) as is_next_merged
    from states
    where place_before is null or place <> place_before

),

stays as (

    select
        *,
        row_number() over (partition by opportunity_id, pipeline, stage order by valid_from_at) as stay_number
    from entries
    where not is_deleted and not is_merged

)

select
    s.opportunity_id || '/' || s.pipeline || '/' || s.stage || '/' || cast(s.stay_number as varchar) as stay_id,
    s.opportunity_id,
    s.pipeline,
    s.stage,
    s.stage_order,
    s.outcome,
    cast(s.stay_number as integer) as stay_number,
    s.stay_number = 1 as is_first_entry,
    s.valid_from_at as entered_at,
    s.exited_at,
    d.date_day as entered_date,
    d.fiscal_quarter,
    d.quarter_start_date,
    {{ elapsed_days('s.valid_from_at', 'coalesce(s.exited_at, n.as_of_at)') }} as days_in_stage,
    case
        when s.exited_at is null then null
        when s.is_next_merged then 'merged'
        when s.is_next_deleted then 'deleted'
        when s.next_outcome in ('won', 'lost') then s.next_outcome
        when s.next_stage_order > s.stage_order_on_exit then 'advanced'
        else 'regressed'
    end as exit_to,
    s.exited_at is not null and not coalesce(s.is_next_merged, false) and not coalesce(s.is_next_deleted, false) as is_finished,
    s.rep_id,
    coalesce(a.team, 'unassigned') as team,
    coalesce(a.segment, 'unassigned') as segment
from stays as s
cross join {{ ref('int_as_of') }} as n
inner join {{ ref('dim_dates') }} as d on {{ business_date('s.valid_from_at') }} = d.date_day
left join {{ ref('int_rep_attributes') }} as a
    on s.rep_id = a.rep_id
    and {{ holds_on('a', 'd.date_day') }}
