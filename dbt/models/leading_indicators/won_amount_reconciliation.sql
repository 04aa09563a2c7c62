-- One row per deal and quarter in which what counts as won differs from what the waterfall saw leave as won, with the reason.
-- The two agree for every other deal; this table is the whole difference.

with booked as (

    select opportunity_id, fiscal_quarter, quarter_start_date, won_amount_base
    from {{ ref('fct_bookings') }}

),

moved as (

    select opportunity_id, target_fiscal_quarter as fiscal_quarter, target_quarter_start_date as quarter_start_date, -sum(amount_base) as waterfall_won_amount
    from {{ ref('fct_pipeline_movements') }}
    where movement = 'won'
    group by opportunity_id, target_fiscal_quarter, target_quarter_start_date

),

compared as (

    select
        coalesce(b.opportunity_id, m.opportunity_id) as opportunity_id,
        coalesce(b.fiscal_quarter, m.fiscal_quarter) as fiscal_quarter,
        coalesce(b.quarter_start_date, m.quarter_start_date) as quarter_start_date,
        coalesce(b.won_amount_base, 0) as booked_amount,
        coalesce(m.waterfall_won_amount, 0) as waterfall_won_amount,
        b.opportunity_id is not null as is_booked,
        m.opportunity_id is not null as is_moved
    from booked as b
    full outer join moved as m on b.opportunity_id = m.opportunity_id and b.quarter_start_date = m.quarter_start_date

)

select
    c.opportunity_id,
    c.fiscal_quarter,
    c.quarter_start_date,
    cast(c.booked_amount as decimal(18, 2)) as booked_amount,
    cast(c.waterfall_won_amount as decimal(18, 2)) as waterfall_won_amount,
    cast(c.booked_amount - c.waterfall_won_amount as decimal(18, 2)) as difference_amount,
    case
        when c.is_booked and not o.was_ever_in_pipeline then 'never in pipeline'
        when c.is_booked and not c.is_moved then 'won without leaving pipeline in the quarter'
        when c.is_booked then 'edited after close'
        else 'no longer won at the end of the quarter'
    end as reason
from compared as c
inner join {{ ref('fct_opportunities') }} as o on c.opportunity_id = o.opportunity_id
where c.booked_amount <> c.waterfall_won_amount
