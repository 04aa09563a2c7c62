"""The real job in a folder and a process group of its own: run it, kill it, and look at what stands afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.comparison import Difference, compare
from dagster_project import gate
from dagster_project.settings import PROJECT_ROOT
from tests.faults.forked import Forked
from tests.made_once import give_parsed

SCHEMAS = (
    "raw_salesforce", "raw_hubspot", "raw_gong", "raw_files",
    "core", "leading_indicators", "lagging_indicators", "hygiene", "forecast", "team", "archive",
)  # fmt: skip
# may differ between two runs alike; a company is numbered after its first load, and a killed run may have used a number
WHEN_IT_RAN = ("_load_id", "_loaded_at", "company_id", "load_id", "loaded_at", "locked_at", "run_id", "seconds")
LIMIT_SECONDS = 600


@dataclass(frozen=True)
class Ended:
    """A run that came to its end by itself."""

    code: int
    out: str
    err: str
    seconds: float

    def complaint(self) -> str:
        """The one line of complaint of a run that failed, as it must be: no second one and no traceback."""
        assert self.code != 0, self.out
        assert "Traceback" not in self.out + self.err, self.err
        told = [line for line in self.err.splitlines() if line.startswith(("error: ", "failed: ", "held back: "))]
        assert len(told) == 1, self.err
        return told[0]


class Place:
    """A warehouse and what it published, under one folder, and the settings its runs get."""

    def __init__(self, folder: Path, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.warehouse, self.published = folder / "own" / "warehouse.duckdb", folder / "published"
        give_parsed(self.warehouse.parent)
        self.given = environment
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("WAREHOUSE_", "DAGSTER_", "DBT_"))}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.environment |= {
            "PYTHONPATH": str(PROJECT_ROOT),
            "WAREHOUSE_PATH": str(self.warehouse),
            "WAREHOUSE_PUBLISHED": str(self.published),
            **environment,
        }

    def copy(self, folder: Path, **environment: str) -> Place:
        """The same warehouse and releases in another folder, without Dagster's history, which names its folder."""
        history = shutil.ignore_patterns("dagster", "*.lock")
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True, ignore=history)
        return Place(folder, **{**self.given, **environment})

    def start(self, *arguments: str) -> Forked:
        return Forked(arguments or ("run",), self.environment, self.folder)

    def run(self, *arguments: str) -> Ended:
        started = time.monotonic()
        return finish(self.start(*arguments), started)

    def run_as_typed(self) -> Ended:
        """The run in an interpreter of its own, as from a shell."""
        started = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", "dagster_project", "run"],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=LIMIT_SECONDS,
        )  # fmt: skip
        return Ended(ended.returncode, ended.stdout, ended.stderr, time.monotonic() - started)

    def kill_after(self, seconds: float) -> None:
        """Start a run and kill its whole process group."""
        process = self.start()
        process.ended_within(seconds)
        process.end()

    def differences(self, other: Place) -> list[Difference]:
        """Where its raw tables and marts differ from those of another place; the number of loads does not count."""
        found = compare(self.warehouse, other.warehouse, SCHEMAS, ignored=WHEN_IT_RAN).differences
        return [difference for difference in found if not difference.table.endswith(".loads")]

    def release(self) -> str | None:
        """The id of the release served, after a look at whether it is whole; None where nothing is published."""
        current = self.published / "current"
        if not current.is_symlink():
            return None
        manifest = json.loads((current / "manifest.json").read_text())
        with duckdb.connect(str((current / "marts.duckdb").resolve()), read_only=True) as connection:
            assert connection.execute("select release_id from main._release").fetchall() == [(manifest["release_id"],)]
            for name, table in manifest["tables"].items():
                assert gate.fingerprint(connection, name) == table["fingerprint"], f"{name} is not the manifest's"
        assert current.resolve().name == manifest["release_id"]
        return manifest["release_id"]

    def leftovers(self) -> list[str]:
        """What a publication that died left behind."""
        return sorted(path.name for path in self.published.rglob(".*") if path.name.startswith((".tmp-", ".current-")))


def finish(process: Forked, started: float) -> Ended:
    """Wait for its end; a run that does not come to one is killed and fails the test."""
    try:
        has_ended = process.ended_within(LIMIT_SECONDS)
    finally:
        told = process.end()
    assert has_ended, f"no end within {LIMIT_SECONDS} s: {told}"
    return Ended(*told, time.monotonic() - started)
