-- Protects fct_pipeline_movements: per deal, to the cent, everything that came in and went out is what stands there now.
with told as (

    select opportunity_id, sum(amount_base) as amount
    from {{ ref('fct_pipeline_movements') }}
    group by opportunity_id

)

select o.opportunity_id, o.amount_base, t.amount
from {{ ref('fct_opportunities') }} as o
left join told as t on o.opportunity_id = t.opportunity_id
where coalesce(t.amount, 0) <> case when o.is_in_pipeline then o.amount_base else 0 end
