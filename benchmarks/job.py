"""The real job, `python -m dagster_project run`, in a process and a folder of its own, and its own record of it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks import models
from benchmarks.processes import Measured, measure

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Step:
    """One step of a run. `rows`: read where it landed, else standing in the tables it made."""

    name: str
    seconds: float
    peak_bytes: int
    rows: int
    model_seconds: dict[str, float]


@dataclass(frozen=True)
class Run:
    """One whole run, measured from outside, and its steps as Dagster recorded them."""

    measured: Measured
    steps: tuple[Step, ...]


class Folder:
    """A warehouse, its releases and Dagster's history in one folder; the demo's files come from a shared cache."""

    def __init__(self, folder: Path, demo: Path, size: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "demo").symlink_to(demo)
        own = ("WAREHOUSE_", "DAGSTER_", "DBT_", "PYTHONDONTWRITEBYTECODE")
        self.environment = {name: text for name, text in os.environ.items() if not name.startswith(own)}
        self.environment |= {
            "PYTHONPATH": str(ROOT),
            "WAREHOUSE_PATH": str(folder / "warehouse.duckdb"),
            "WAREHOUSE_PUBLISHED": str(folder / "published"),
            "WAREHOUSE_SOURCES": "demo",
            "WAREHOUSE_DEMO_SIZE": size,
        }

    @property
    def marts(self) -> Path:
        return self.folder / "published" / "current" / "marts.duckdb"

    def run(self, until: date | None = None) -> Run:
        """Run the daily job. `until`: what arrived after that day is still to come. Raises CommandError."""
        environment = self.environment | ({"WAREHOUSE_DEMO_UNTIL": until.isoformat()} if until else {})
        measured = measure([sys.executable, "-m", "dagster_project", "run"], environment, self.folder / "run.log")
        return Run(measured, tuple(self._steps(measured)))

    def models_alone(self, tables: Iterable[str]) -> dict[str, tuple[float, float]]:
        """Wall and CPU seconds of each model that these tables rest on, on what the job has landed."""
        log = self.folder / "models.log"
        measure([sys.executable, models.__file__, self.folder / "models", *tables], self.environment, log)
        return json.loads(log.read_text().splitlines()[-1])

    def _steps(self, measured: Measured) -> Iterator[Step]:
        import dagster as dg

        with dg.DagsterInstance.from_config(str(self.folder / "dagster")) as instance:
            [run] = instance.get_runs(limit=1)
            entries = [entry for entry in instance.all_logs(run.run_id) if entry.dagster_event]
        started: dict[str, float] = {}
        rows: dict[str, int] = {}
        seconds: dict[str, dict[str, float]] = {}
        for entry in entries:
            event, step = entry.dagster_event, entry.dagster_event.step_key
            if event.event_type_value == "STEP_START":
                started[step], rows[step], seconds[step] = entry.timestamp, 0, {}
            elif event.event_type_value == "ASSET_MATERIALIZATION":
                facts = {name: value.value for name, value in event.materialization.metadata.items()}
                schema, name = event.materialization.asset_key.path
                if schema.startswith("raw_"):
                    rows[step] += facts.get("rows_read", 0)
                else:
                    rows[step] += facts.get("dagster/row_count", 0)
                    seconds[step][name] = facts.get("seconds", 0)
            elif event.event_type_value == "STEP_SUCCESS":
                took, start = event.event_specific_data.duration_ms / 1000, started[step]
                yield Step(step, took, measured.peak_between(start, start + took), rows[step], seconds[step])
