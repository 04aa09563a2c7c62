-- The record's closed and won flags say another outcome than its stage does.
select
    s.opportunity_id,
    s.valid_from_at as from_at,
    s.valid_to_at as to_at,
    'stage ' || s.stage || ' means ' || l.outcome || ', the flags say ' || s.outcome as evidence
from {{ ref('fct_opportunity_states') }} as s
inner join {{ ref('dim_stages') }} as l
    on s.source_system = l.source_system and s.pipeline = l.pipeline and s.stage = l.stage
    and {{ holds_at('l', 's.valid_from_at') }}
where s.outcome <> l.outcome
    and {{ is_live('s') }}
