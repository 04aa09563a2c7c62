-- Nobody owns the deal, or its owner has left and it was not handed over. A leave is no departure.
select
    s.opportunity_id,
    greatest(s.valid_from_at, coalesce({{ start_of_business_date('r.valid_from_date') }}, s.valid_from_at)) as from_at,
    {{ earlier('s.valid_to_at', start_of_business_date('r.valid_to_date')) }} as to_at,
    case when s.rep_id = 'unassigned' then 'nobody owns it' else r.rep_name || ' left on ' || cast({{ plus_days('r.valid_from_date', -1) }} as varchar) end as evidence
from {{ ref('fct_opportunity_states') }} as s
left join {{ ref('dim_reps') }} as r
    on s.rep_id = r.rep_id
    and r.status = 'left'
    and {{ start_of_business_date('r.valid_from_date') }} < coalesce(s.valid_to_at, timestamp '9999-12-31 00:00:00')
    and coalesce({{ start_of_business_date('r.valid_to_date') }}, timestamp '9999-12-31 00:00:00') > s.valid_from_at
where s.outcome = 'open'
    and {{ is_live('s') }}
    and (r.rep_id is not null or s.rep_id = 'unassigned')
