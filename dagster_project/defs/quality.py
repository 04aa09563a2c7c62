"""The gate as asset checks, one a rule of `expectations/`, on what arrived and on what the forecast may use.

A failed `error` rule blocks: nothing downstream of its table starts in the same run. What must hold stands in
`expectations/`, how it is judged and recorded in `gate/`.
"""

from collections.abc import Iterator

import dagster as dg

from dagster_project import gate, publishing
from dagster_project.defs.resources import POOL, Warehouse, no_retry_for, owners
from dagster_project.settings import UserError

SUITES = gate.load_suites()
RECORD = {
    "gate": "One row per run and check: severity, passed or not, rows and money behind it, what was held back",
    "gate_failing_rows": "One row per run, check and failing row, with its key",
}


def _specs(which: str) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            name=rule.name,
            asset=dg.AssetKey(suite.table.split(".")),
            description=rule.reason,
            blocking=rule.severity == "error",
            metadata={"severity": rule.severity, "owner": rule.owner, "file": suite.file},
        )
        for suite in SUITES
        if suite.gate == which
        for rule in suite.rules
    ]


def _judge(context: dg.AssetCheckExecutionContext, warehouse: Warehouse, which: str) -> Iterator[dg.AssetCheckResult]:
    settings = warehouse.settings
    with no_retry_for(UserError):
        outcome = gate.run_gate(
            settings.warehouse, which, context.run.run_id, served_lock_date=publishing.served_lock_date(settings)
        )
    for name in RECORD:
        context.op_execution_context.log_event(dg.AssetMaterialization(["forecast", name]))
    verdicts = {(verdict.table, verdict.check_name): verdict for verdict in outcome.verdicts}
    for spec in _specs(which):
        yield _result(spec, verdicts.get((".".join(spec.asset_key.path), spec.name)))


def _result(spec: dg.AssetCheckSpec, verdict: gate.Verdict | None) -> dg.AssetCheckResult:
    """A rule that judged nothing, because nothing arrived for its table, passes and says so."""
    judged = {"reason": "nothing arrived for this table"} if verdict is None else {
        "reason": verdict.reason,
        "owner": verdict.owner,
        "rows_failed_count": verdict.rows_failed_count,
        "failed_amount_base": float(verdict.failed_amount_base or 0),
    }  # fmt: skip
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=verdict is None or verdict.is_passed,
        severity=dg.AssetCheckSeverity.ERROR if spec.blocking else dg.AssetCheckSeverity.WARN,
        metadata={"severity": spec.metadata["severity"], **judged},
    )


@dg.multi_asset_check(name="raw_gate", specs=_specs(gate.RAW), pool=POOL)
def raw_gate(context: dg.AssetCheckExecutionContext, warehouse: Warehouse):
    """Judge the loads that wait and accept or refuse them: staging reads accepted loads only."""
    yield from _judge(context, warehouse, gate.RAW)


@dg.multi_asset_check(name="forecast_gate", specs=_specs(gate.FORECAST_INPUTS), pool=POOL)
def forecast_gate(context: dg.AssetCheckExecutionContext, warehouse: Warehouse):
    """Judge forecast.inputs; its verdict holds for these contents and no others."""
    yield from _judge(context, warehouse, gate.FORECAST_INPUTS)


defs = dg.Definitions(
    # written by both checks, so no step of their own makes them
    assets=[
        dg.AssetSpec(
            ["forecast", name], description=about, group_name="forecast", owners=owners("forecast"), kinds={"duckdb"}
        )
        for name, about in RECORD.items()
    ],
    asset_checks=[raw_gate, forecast_gate],
)
