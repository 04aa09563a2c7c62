-- No stage table knows the stage: it counts as open pipeline until somebody says what it is.
select
    s.opportunity_id,
    s.valid_from_at as from_at,
    s.valid_to_at as to_at,
    'stage "' || coalesce(s.stage, '') || '" of pipeline ' || coalesce(s.pipeline, '') as evidence
from {{ ref('fct_opportunity_states') }} as s
where not s.is_known_stage
    and {{ is_live('s') }}
