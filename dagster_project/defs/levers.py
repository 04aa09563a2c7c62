"""The intervals around the lever gap: drawn from the deals in play, before `forecast.lever_gap` shows them.

How they are drawn stands in `forecast/levers.py`.
"""

import dagster as dg

from dagster_project.defs.resources import POOL, Warehouse, owners
from dagster_project.forecast import levers


@dg.asset(
    key=["intermediate", "lever_intervals"],
    deps=[["core", "fct_deals_in_play"], ["intermediate", "int_lever_places"]],
    group_name="intermediate",
    kinds={"duckdb", "python"},
    owners=owners("forecast"),
    description="One row per level, quarter and base: 95 % intervals of the lever gap's parts, by bootstrap over deals",
    pool=POOL,
)
def lever_intervals(warehouse: Warehouse) -> dg.MaterializeResult:
    with warehouse.connect() as connection:
        rows = levers.write(connection)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, "draws": levers.DRAWS, "seed": levers.SEED})


defs = dg.Definitions(assets=[lever_intervals])
