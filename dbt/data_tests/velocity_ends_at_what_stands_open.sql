-- Protects pipeline_velocity: the running quarter's open deals must be those counted straight from the deals.
with told as (

    select v.level_id as rep_id, v.open_deal_count
    from {{ ref('pipeline_velocity') }} as v
    inner join {{ ref('dim_dates') }} as d on v.quarter_start_date = d.quarter_start_date
    inner join {{ ref('int_as_of') }} as n on d.date_day = n.as_of_date
    where v.level = 'rep' and v.open_deal_count <> 0

),

counted as (

    select rep_id, count(*) as deal_count
    from {{ ref('fct_opportunities') }}
    where is_in_pipeline
        and coalesce(type, 'unknown') not in ({{ "'" ~ var('win_rate_headline_leaves_out') | join("', '") ~ "'" }})
    group by rep_id

)

select *
from told as t
full outer join counted as c on t.rep_id = c.rep_id
where coalesce(t.open_deal_count, 0) <> coalesce(c.deal_count, 0)
