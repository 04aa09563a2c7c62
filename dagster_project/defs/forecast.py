"""The forecast: the locks, frozen when the gate on `forecast.inputs` passed in the same run, and every model behind it.

The models refuse on their own as well (`require_gate` in dbt/macros/gate.sql), and so does the freezing, wherever they
are started from. How a lock is frozen stands in `locks.py`.
"""

from collections.abc import Iterator

import dagster as dg
from dagster_dbt import dbt_assets

from dagster_project import gate, locks
from dagster_project.defs.resources import POOL, UserError, Warehouse, no_retry_for, owners
from dagster_project.defs.transform import MANIFEST, PROJECT, TRANSLATOR, behind_gate, build
from dagster_project.forecast import SEED, backtest, scoring, store
from dagster_project.forecast.shapes import TABLES

LOCKED = {
    "locks": "One row per weekly lock that was taken: what was known then, for ever",
    "locked_inputs": "One row per open deal and lock: what the forecast rested on, and whether the gate held it out",
    "locked_calls": "One row per person, scope and lock: the newest call for the quarter then",
    "locked_progress": "One row per rep, team, segment and lock: won so far in the quarter, and its quota, then",
}


@dg.multi_asset(
    name="freeze",
    description="Freeze the newest lock and those that were missed; a lock that is taken is never restated.",
    specs=[
        dg.AssetSpec(
            ["forecast", name],
            deps=[relation.split(".") for relation in (gate.INPUTS, "intermediate.int_locks_due", *locks.DUE.values())],
            description=about,
            group_name="forecast",
            owners=owners("forecast"),
            kinds={"duckdb"},
        )
        for name, about in LOCKED.items()
    ],
    pool=POOL,
)
def freeze(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
    with no_retry_for(UserError), warehouse.connect() as connection:
        frozen = locks.freeze(connection, context.run.run_id)
        counts = {name: connection.execute(f"select count(*) from forecast.{name}").fetchone()[0] for name in LOCKED}
    newest = str(frozen.lock_dates[-1]) if frozen.lock_dates else "none: no lock was due"
    told = {"newest_lock_frozen": newest, "locks_frozen": len(frozen.lock_dates), "backfilled": frozen.backfilled}
    for name, count in counts.items():
        rows = {"dagster/row_count": count, "rows_frozen": frozen.rows[name]}
        yield dg.MaterializeResult(asset_key=["forecast", name], metadata=rows | told)


READ = [
    *(["forecast", name] for name in ("locks", "locked_inputs", "locked_calls", "locked_progress")),
    *(["intermediate", name] for name in ("int_locks", "int_forecasts_made", "int_rep_attributes")),
    *(["core", name] for name in ("fct_opportunity_states", "fct_closings", "dim_reps")),
]
FORECASTS = ("deal_forecasts", "quarter_forecasts")
FOUND = ("backtest", "backtest_people", "calibration", "rep_bias")


def _archived(names: tuple[str, ...], deps: list[list[str]]) -> list[dg.AssetSpec]:
    return [
        dg.AssetSpec(
            ["archive", name],
            deps=deps,
            description=TABLES[name][1],
            group_name="archive",
            owners=owners("forecast"),
            kinds={"duckdb", "python"},
        )
        for name in names
    ]


@dg.multi_asset(
    name="score",
    description="Forecast the locks taken since the last one that was forecast; a forecast is never restated.",
    specs=_archived(FORECASTS, [*READ, ["archive", "backtest_people"]]),
    pool=POOL,
)
def score(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
    kept = dict.fromkeys(FORECASTS, 0)
    with no_retry_for(UserError), warehouse.connect() as connection:
        gate.require_pass(connection)
        due = store.locks_to_forecast(connection)
        for forecast in scoring.score(connection, due, SEED):
            kept["deal_forecasts"] += store.keep(connection, "deal_forecasts", forecast.deals)
            kept["quarter_forecasts"] += store.keep(connection, "quarter_forecasts", forecast.levels)
    for name, rows in kept.items():
        yield dg.MaterializeResult(
            asset_key=["archive", name], metadata={"dagster/row_count": rows, "locks_forecast": len(due)}
        )


@dg.multi_asset(
    name="look_back",
    description="Forecast every past lock from what was known there and hold it against what came; fill in the "
    "forecasts of locks that were never made.",
    specs=_archived(FOUND, READ),
    pool=POOL,
)
def look_back(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
    with no_retry_for(UserError), warehouse.connect() as connection:
        gate.require_pass(connection)
        kept = backtest.renew(connection, SEED)
    for name in FOUND:
        yield dg.MaterializeResult(asset_key=["archive", name], metadata={"dagster/row_count": kept[name]})


@dbt_assets(
    name="forecast",
    manifest=MANIFEST,
    select=behind_gate(MANIFEST),
    dagster_dbt_translator=TRANSLATOR,
    project=PROJECT,
    pool=POOL,
)
def forecast(context: dg.AssetExecutionContext, warehouse: Warehouse):
    yield from build(context, warehouse)


defs = dg.Definitions(
    assets=[
        freeze,
        score,
        look_back,
        forecast,
        # what one run freezes the next one reads: declared, so that the graph has no circle
        *(
            dg.AssetSpec(
                ["archive", name],
                description=f"{about}, of every company; append-only",
                group_name="archive",
                owners=owners("forecast"),
                kinds={"duckdb"},
            )
            for name, about in LOCKED.items()
        ),
    ]
)
