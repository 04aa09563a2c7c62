select
    source_system,
    coalesce(nullif(trim(pipeline), ''), 'default') as pipeline,
    trim(stage) as stage,
    stage_order,
    coalesce(lower(outcome), 'open') as outcome,
    probability as default_probability,
    {{ forecast_category('forecast_category') }} as default_forecast_category,
    is_pipeline,
    _load_id,
    _version,
    _is_deleted,
    _extracted_at,
    _first_extracted_at,
    _is_from_first_load,
    _is_latest
from {{ all_versions('raw_files', 'stages', ['source_system', 'pipeline', 'stage']) }} as versions
