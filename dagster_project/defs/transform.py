"""dbt's models and seeds as assets, its tests as checks: all that may be built before the forecast's gate has spoken.

`behind the gate` is whatever rests on `forecast.inputs`; those models are `forecast.py`'s. One step over both would
build past the gate. Not here: what a model means, how dbt is called.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtProject,
    dbt_assets,
)
from dagster_dbt.asset_utils import DAGSTER_DBT_UNIQUE_ID_METADATA_KEY as UNIQUE_ID

from dagster_project import builds, publishing
from dagster_project.dbt_build import DBT_FOLDER, DbtError, Node, dbt_for
from dagster_project.defs.resources import DAILY, POOL, Warehouse, owners
from dagster_project.forecast.shapes import TABLES
from dagster_project.settings import Settings

GATED = "model.sales_management.inputs"  # forecast.inputs: what the forecast may use
FULL_REFRESH_TAG = "dbt/full_refresh"
VIEWS = "staging"  # the schema, and the folder, of which every model is a view without a variable

_DBT = dbt_for(Settings.from_environment().warehouse)
MANIFEST = _DBT.manifest
PROJECT = DbtProject(DBT_FOLDER, target_path=_DBT.target)


class Translator(DagsterDbtTranslator):
    """The catalogue, the SQL and the log say one name: `schema/table`, grouped by schema."""

    def get_asset_key(self, properties: Mapping[str, Any]) -> dg.AssetKey:
        name = properties.get("identifier") or properties.get("alias") or properties["name"]
        return dg.AssetKey([properties["schema"], name])

    def get_group_name(self, properties: Mapping[str, Any]) -> str:
        return properties["schema"]

    def get_owners(self, properties: Mapping[str, Any]) -> list[str]:
        return owners(properties["schema"])

    def get_description(self, properties: Mapping[str, Any]) -> str:
        return properties["description"]

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        is_published = spec.group_name in publishing.SCHEMAS
        return spec.replace_attributes(freshness_policy=DAILY) if is_published else spec

    def get_asset_check_spec(
        self, asset_spec: dg.AssetSpec, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetCheckSpec | None:
        """A test of several models is a check on the last of them in the flow."""
        test = manifest["nodes"][unique_id]
        if last_of(manifest, tested_models(manifest, unique_id)) != asset_spec.metadata[UNIQUE_ID]:
            return None
        return dg.AssetCheckSpec(
            name=test["name"],
            asset=asset_spec.key,
            description=test["description"] or None,
            metadata={UNIQUE_ID: unique_id},
            blocking=test["config"]["severity"].lower() == "error",
        )


TRANSLATOR = Translator(DagsterDbtTranslatorSettings(enable_code_references=True))


def tested_models(manifest: Mapping[str, Any], test: str) -> list[str]:
    """The models and seeds a test reads; a generic test's own model alone."""
    attached = manifest["nodes"][test].get("attached_node")
    parents = manifest["parent_map"][test]
    return [attached] if attached else [parent for parent in parents if not parent.startswith("source.")]


def last_of(manifest: Mapping[str, Any], models: list[str]) -> str | None:
    """The one of these models that the most others feed, by name where two stand equal."""
    return max(models, key=lambda model: (len(ancestors(manifest, model)), model), default=None)


def ancestors(manifest: Mapping[str, Any], model: str) -> set[str]:
    found: set[str] = set()
    to_visit = [model]
    while to_visit:
        parents = set(manifest["parent_map"].get(to_visit.pop(), [])) - found
        found |= parents
        to_visit.extend(parents)
    return found


def behind_gate(manifest: Mapping[str, Any]) -> str:
    """A dbt selection of every model that rests on `forecast.inputs`, or on what is written once they have passed."""
    written = [source for source in manifest["sources"] if source.startswith("source.sales_management.forecast.")]
    written += [f"source.sales_management.archive.{name}" for name in TABLES]
    children = {child for parent in (GATED, *written) for child in manifest["child_map"].get(parent, [])}
    return " ".join(sorted(f"{child.split('.')[-1]}+" for child in children if child.startswith("model.")))


def build(
    context: dg.AssetExecutionContext, warehouse: Warehouse
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """Build the step's selected models with dbt, each reported as it finishes; one failure line per model or test."""
    settings, nodes = warehouse.settings, MANIFEST["nodes"]
    assets = {context.assets_def.get_asset_spec(key).metadata[UNIQUE_ID]: key for key in context.selected_asset_keys}
    checks = {
        spec.metadata[UNIQUE_ID]: spec.key
        for spec in context.assets_def.check_specs
        if spec.key in context.selected_asset_check_keys
    }
    relations = {node: f"{nodes[node]['schema']}.{nodes[node]['alias']}" for node in assets}
    dbt = dbt_for(settings.warehouse)
    with warehouse.connect() as connection:
        basis = builds.present_basis(connection, settings.as_of)
        stood_at = builds.caught_up_to(builds.last_builds(connection), dbt.incremental_relations, dbt.digest, basis)
        builds.forget_builds(connection, relations.values())
    if context.run.tags.get(FULL_REFRESH_TAG) == "true":
        stood_at = None
    variables = builds.variables(settings.as_of, stood_at)
    failed: list[Node] = []
    # a view stands as it was defined; it is made again where it is asked for, and where everything starts over
    built = [node for node in assets if stood_at and not context.is_subset and nodes[node]["schema"] == VIEWS]
    yield from (dg.MaterializeResult(asset_key=assets[node]) for node in built)
    arguments = selection(context, [*assets, *checks], without=[VIEWS] if built else [])
    try:
        for node in dbt.build(arguments, variables, full_refresh=stood_at is None):
            if node.is_failed:
                failed.append(node)
            if node.is_built and node.unique_id in assets:
                built.append(node.unique_id)
                yield materialized(assets[node.unique_id], node)
            elif node.unique_id in checks and node.status != "skipped":
                yield checked(checks[node.unique_id], node)
    except DbtError as error:
        raise dg.Failure(f"dbt: {error}", allow_retries=False) from None
    with warehouse.connect() as connection:
        builds.record_builds(connection, [relations[node] for node in built], dbt.digest, basis, context.run_id)
    if failed:
        raise dg.Failure("\n".join(f"{node.name}: {node.message}" for node in failed), allow_retries=False)


def selection(context: dg.AssetExecutionContext, nodes: list[str], without: Sequence[str]) -> list[str]:
    """dbt's arguments for this step: the room's own, or the picked models and tests by name."""
    tags, excluded = context.op.tags, list(without)
    if context.is_subset:
        names = (".".join(MANIFEST["nodes"][node]["fqn"]) for node in nodes)
        arguments = ["--select", " ".join(names), "--indirect-selection", "empty"]
    else:
        arguments = ["--select", tags["dagster_dbt/select"]]
        excluded += [tags["dagster_dbt/exclude"]] if tags.get("dagster_dbt/exclude") else []
    return arguments + (["--exclude", " ".join(excluded)] if excluded else [])


def materialized(key: dg.AssetKey, node: Node) -> dg.MaterializeResult:
    rows = {} if node.rows is None else {"dagster/row_count": node.rows}
    return dg.MaterializeResult(asset_key=key, metadata={**rows, "seconds": round(node.seconds, 2)})


def checked(key: dg.AssetCheckKey, node: Node) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=node.status == "pass",
        severity=dg.AssetCheckSeverity.WARN if node.status == "warn" else dg.AssetCheckSeverity.ERROR,
        metadata={"message": node.message, "failing_rows": node.failures or 0},
    )


@dbt_assets(
    name="transform",
    manifest=MANIFEST,
    exclude=behind_gate(MANIFEST) or None,
    dagster_dbt_translator=TRANSLATOR,
    project=PROJECT,
    pool=POOL,
)
def transform(context: dg.AssetExecutionContext, warehouse: Warehouse):
    yield from build(context, warehouse)


defs = dg.Definitions(assets=[transform])
