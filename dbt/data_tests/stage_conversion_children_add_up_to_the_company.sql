-- Protects stage_conversion: at every level the counts sum to the company's; a deal is in one cell of each level.
with sums as (

    select
        level, pipeline, stage, quarter_start_date,
        sum(entered_count) as entered_count,
        sum(reached_count) as reached_count,
        sum(lost_count) as lost_count,
        sum(finished_stay_count) as finished_stay_count
    from {{ ref('stage_conversion') }}
    group by level, pipeline, stage, quarter_start_date

)

select c.*
from sums as c
left join sums as p
    on p.level = 'company' and c.pipeline = p.pipeline and c.stage = p.stage and c.quarter_start_date = p.quarter_start_date
where c.level <> 'company'
    and (
        p.level is null
        or c.entered_count <> p.entered_count
        or c.reached_count <> p.reached_count
        or c.lost_count <> p.lost_count
        or c.finished_stay_count <> p.finished_stay_count
    )
