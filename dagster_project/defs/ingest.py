"""Every raw table as an asset, landed by one step from the sources that are switched on.

How a source is read stands in `sources/`, what may go on from here in `quality.py`.
"""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from dagster_project.defs.resources import POOL, Warehouse, no_retry_for, owners
from dagster_project.settings import UserError
from dagster_project.sources import Table
from dagster_project.sources.landing import TableReport, activate, land
from dagster_project.sources.registry import open_sources
from dagster_project.warehouse import ALL_TABLES, prepare

# A busy disk or a passing network fault; what the user must mend is not tried again.
TRANSIENT = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
ARRIVES_DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=50), warn_window=timedelta(hours=26))


def raw_key(table: Table) -> dg.AssetKey:
    return dg.AssetKey([table.schema, table.name])


def _spec(table: Table) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=raw_key(table),
        description=table.about,
        group_name=table.schema,
        kinds={"duckdb", table.source},
        owners=owners(table.schema),
        metadata={"dagster/table_name": table.relation, "key": ", ".join(table.key), "is_full_load": table.full},
        freshness_policy=ARRIVES_DAILY,
    )


# What a source's own log holds beside its tables.
LOGS = {
    "loads": "One row per load and table: what arrived and whether it was accepted",
    "rejected_rows": "One row per row that could not be read, whole, with file, line, column and reason",
}
LOG_KEYS = {
    dg.AssetKey(["ops", "active_sources"]): "One row per source that is switched on: what staging may read",
    dg.AssetKey(["ops", "company"]): "One row: the company those sources tell of, by the first load of theirs",
    **{
        dg.AssetKey([schema, name]): about
        for schema in dict.fromkeys(table.schema for table in ALL_TABLES)
        for name, about in LOGS.items()
    },
}


def _log_spec(key: dg.AssetKey, about: str) -> dg.AssetSpec:
    schema = key.path[0]
    return dg.AssetSpec(key, description=about, group_name=schema, kinds={"duckdb"}, owners=owners(schema))


@dg.multi_asset(
    name="ingest",
    description="Read every source that is switched on and append what is new to its raw tables.",
    specs=[_spec(table) for table in ALL_TABLES] + [_log_spec(key, about) for key, about in LOG_KEYS.items()],
    retry_policy=TRANSIENT,
    pool=POOL,
)
def ingest(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
    with no_retry_for(UserError), warehouse.connect() as connection:
        prepare(connection)
        sources = open_sources(warehouse.settings)
        activate(connection, sources)
        loads = [land(connection, source, say=context.log.info) for source in sources]
        rows = {
            key: connection.execute(f"select count(*) from {'.'.join(key.path)}").fetchone()[0]
            for key in (*map(raw_key, ALL_TABLES), *LOG_KEYS)
        }
    reports = {table.relation: (load.origin, table) for load in loads for table in load.tables}
    for table in ALL_TABLES:
        arrived = _arrived(*reports.get(table.relation, (None, None)))
        key = raw_key(table)
        yield dg.MaterializeResult(asset_key=key, metadata={"dagster/row_count": rows[key], **arrived})
    for key in LOG_KEYS:
        yield dg.MaterializeResult(asset_key=key, metadata={"dagster/row_count": rows[key]})


def _arrived(origin: str | None, report: TableReport | None) -> dict[str, object]:
    if report is None:
        return {"origin": "no source that is switched on fills this table"}
    return {
        "origin": origin,
        "rows_read": report.rows_read,
        "rows_landed": report.rows_landed,
        "rows_deleted": report.rows_deleted,
        "rows_rejected": report.rows_rejected,
        "seconds": round(report.seconds, 2),
    }


defs = dg.Definitions(assets=[ingest])
