-- An activity linked to a deal that did not exist yet: linked wrongly, or the deal was entered late.

with firsts as (

    select opportunity_id, min(activity_date) as first_date
    from {{ ref('fct_activities') }}
    group by opportunity_id

),

early as (

    select
        f.opportunity_id,
        f.first_date,
        {{ days_between('f.first_date', business_date('d.created_at')) }} as days_before
    from firsts as f
    inner join {{ ref('int_opportunities') }} as d on f.opportunity_id = d.opportunity_id
    where f.first_date < {{ business_date('d.created_at') }}

)

select
    s.opportunity_id,
    s.valid_from_at as from_at,
    s.valid_to_at as to_at,
    'activity on ' || cast(e.first_date as varchar) || ', ' || cast(e.days_before as varchar) || ' days before the deal' as evidence
from early as e
inner join {{ ref('fct_opportunity_states') }} as s on e.opportunity_id = s.opportunity_id
where e.days_before > {{ rule_threshold('activity_before_deal') }}
    and {{ is_live('s') }}
