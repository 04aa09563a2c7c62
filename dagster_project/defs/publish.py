"""The release: everything readers see, published as one set or not at all.

How a release is written, flipped and rolled back stands in `publishing.py`, what the report in it shows in `report/`.
"""

from functools import partial

import dagster as dg

from dagster_project import builds, publishing, report, status
from dagster_project.dbt_build import company_settings
from dagster_project.defs.forecast import freeze
from dagster_project.defs.resources import DAILY, POOL, Warehouse, no_retry_for, owners
from dagster_project.defs.transform import MANIFEST, TRANSLATOR
from dagster_project.settings import UserError

MARTS = sorted(
    TRANSLATOR.get_asset_key(node)
    for node in MANIFEST["nodes"].values()
    if node["resource_type"] == "model" and node["schema"] in publishing.SCHEMAS
)


@dg.asset(
    key=["published", "marts"],
    deps=[*MARTS, *freeze.keys],
    group_name="published",
    kinds={"duckdb", "parquet"},
    owners=owners("published"),
    description="An immutable release of all marts and the weekly report, with `current` pointing at the newest.",
    freshness_policy=DAILY,
    pool=POOL,
)
def marts(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    settings, run_id = warehouse.settings, context.run.run_id
    with no_retry_for(UserError):
        with warehouse.connect() as connection:
            basis = builds.present_basis(connection, settings.as_of)
            behind = builds.left_behind(builds.last_builds(connection), map(relation, MARTS), basis)
        if behind:
            raise UserError(f"not built since the last load: {', '.join(behind)}; run daily_refresh, which builds all")
        currency = company_settings()["base_currency"]
        release = publishing.publish(settings, run_id, beside=partial(report.write_beside, currency=currency))
    status.write(settings, run_id)
    return dg.MaterializeResult(
        metadata={
            "release": release.id,
            "path": dg.MetadataValue.path(release.folder),
            "report": dg.MetadataValue.path(release.folder / report.PAGE),
            "tables": len(release.tables),
            "rows": sum(table["rows"] for table in release.tables.values()),
            "as_of": release.as_of or "",
            "lock_date": str(release.lock_date or ""),
        }
    )


def relation(key: dg.AssetKey) -> str:
    return ".".join(key.path)


defs = dg.Definitions(assets=[marts])
