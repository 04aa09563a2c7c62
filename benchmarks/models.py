"""dbt's models on their own, one after another on what a job has landed: what their SQL costs with nothing beside it.

Run as a script: `models.py <target folder> <schema.table> …`, the warehouse in WAREHOUSE_PATH; builds these tables and
all they rest on. Prints seconds and CPU seconds by model, as JSON. Views cost nothing here: who reads them pays.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

DBT = Path(__file__).resolve().parent.parent / "dbt"


def build(target: Path, tables: list[str]) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds by model. Raises RuntimeError with the first model that failed."""
    from dbt.cli.main import dbtRunner

    began: dict[str, tuple[float, float]] = {}
    cost: dict[str, tuple[float, float]] = {}

    def hear(event) -> None:
        if event.info.name == "NodeStart":
            began[event.data.node_info.unique_id] = time.perf_counter(), time.process_time()
        elif event.info.name == "NodeFinished" and (node := event.data.node_info.unique_id) in began:
            seconds, cpu = time.perf_counter() - began[node][0], time.process_time() - began[node][1]
            if node.startswith("model."):
                cost[node.split(".")[-1]] = round(seconds, 3), round(cpu, 3)

    select = ["--select", *(f"+{table.partition('.')[2]}" for table in tables)]
    folders = ["--project-dir", DBT, "--profiles-dir", DBT, "--target-path", target, "--log-path", target]
    how = ["--threads", "1", "--full-refresh", "--quiet", "--log-level", "none"]
    kinds = [part for kind in ("test", "unit_test") for part in ("--exclude-resource-type", kind)]
    result = dbtRunner(callbacks=[hear]).invoke(["build", *select, *kinds, *how, *map(str, folders)])
    if not result.success:
        failed = [f"{each.node.name}: {each.message}" for each in result.result or [] if each.status == "error"]
        raise RuntimeError(failed[0] if failed else str(result.exception))
    return cost


if __name__ == "__main__":
    print(json.dumps(build(Path(sys.argv[1]), sys.argv[2:])))
