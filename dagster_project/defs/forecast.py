"""The forecast: every model that rests on `forecast.inputs`, built only when the gate on them passed in the same run.

The models refuse on their own as well (`require_gate` in dbt/macros/gate.sql), wherever their build is started from.
"""

import dagster as dg
from dagster_dbt import dbt_assets

from dagster_project.defs.resources import POOL, Warehouse
from dagster_project.defs.transform import MANIFEST, PROJECT, TRANSLATOR, behind_gate, build

BEHIND_GATE = behind_gate(MANIFEST)

defs = dg.Definitions()

if BEHIND_GATE:

    @dbt_assets(
        name="forecast",
        manifest=MANIFEST,
        select=BEHIND_GATE,
        dagster_dbt_translator=TRANSLATOR,
        project=PROJECT,
        pool=POOL,
    )
    def forecast(context: dg.AssetExecutionContext, warehouse: Warehouse):
        yield from build(context, warehouse)

    defs = dg.Definitions(assets=[forecast])
