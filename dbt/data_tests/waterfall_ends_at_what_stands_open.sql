-- Protects weekly_pipeline_waterfall: the last week's end must be the open pipeline counted straight from the deals.
with told as (

    select level, level_id, sum(ending_amount) as amount
    from {{ ref('weekly_pipeline_waterfall') }} as w
    cross join {{ ref('int_as_of') }} as n
    where w.week_start_date = {{ week_start('n.as_of_date') }}
    group by level, level_id

),

counted as (

    select 'company' as level, 'all' as level_id, sum(amount_base) as amount
    from {{ ref('fct_opportunities') }}
    where is_in_pipeline
    union all
    select 'rep', rep_id, sum(amount_base)
    from {{ ref('fct_opportunities') }}
    where is_in_pipeline
    group by rep_id

)

select *
from counted as c
full outer join (select * from told where level in ('company', 'rep')) as t on c.level = t.level and c.level_id = t.level_id
where coalesce(c.amount, 0) <> coalesce(t.amount, 0)
