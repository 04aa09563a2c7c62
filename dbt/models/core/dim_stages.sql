-- One row per pipeline, stage and period in which its label, order, outcome and place in the pipeline stood so.

select
    source_system,
    pipeline,
    stage,
    stage_label,
    stage_order,
    is_pipeline,
    outcome,
    default_probability,
    default_forecast_category,
    valid_from_at,
    valid_to_at,
    valid_to_at is null as is_current
from {{ ref('int_stages') }}
