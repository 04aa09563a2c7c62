"""The semantic layer, asked in this process: MetricFlow writes the SQL, DuckDB runs it read-only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import duckdb


class MetricFlow:
    """`ask` answers in dictionaries, one a row. `manifest` is dbt's semantic_manifest.json for this database."""

    def __init__(self, manifest: Path, database: Path) -> None:
        # imported late: it takes a second and a half, and only these tests need it
        from metricflow.engine.metricflow_engine import MetricFlowEngine
        from metricflow.protocols.sql_client import SqlEngine
        from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer
        from metricflow_semantics.model.dbt_manifest_parser import parse_manifest_from_dbt_generated_manifest
        from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

        self.manifest = parse_manifest_from_dbt_generated_manifest(manifest.read_text())
        dialect = SimpleNamespace(sql_engine_type=SqlEngine.DUCKDB, sql_plan_renderer=DuckDbSqlPlanRenderer())
        self._engine = MetricFlowEngine(SemanticManifestLookup(self.manifest), dialect)
        self._connection = duckdb.connect(str(database), read_only=True)

    def ask(self, metrics: Sequence[str], by: Sequence[str] = (), where: Sequence[str] = ()) -> list[dict]:
        return self._answer(
            metric_names=sorted(metrics), group_by_names=list(by), where_constraints=list(where) or None
        )

    def ask_saved(self, name: str) -> list[dict]:
        return self._answer(saved_query_name=name)

    def problems(self) -> list[str]:
        """What MetricFlow's own validation finds."""
        from metricflow_semantic_interfaces.validations.semantic_manifest_validator import SemanticManifestValidator

        found = SemanticManifestValidator().validate_semantic_manifest(self.manifest)
        return [issue.as_readable_str() for issue in (*found.errors, *found.future_errors, *found.warnings)]

    def close(self) -> None:
        self._connection.close()

    def _answer(self, **request) -> list[dict]:
        from metricflow.engine.metricflow_engine import MetricFlowQueryRequest

        plan = self._engine.explain(MetricFlowQueryRequest.create(**request))
        answer = self._connection.execute(plan.sql_statement.without_descriptions.sql)
        names = [column[0] for column in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
