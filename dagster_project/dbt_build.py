"""dbt inside this process: parse the project once, build a selection, report each finished node.

Plain Python that decides and calls; what Dagster sees of the same nodes is `defs/transform.py`. Nothing here knows what
a model means.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from dagster_project.settings import PROJECT_ROOT

DBT_FOLDER = PROJECT_ROOT / "dbt"
SEEDS_FOLDER = PROJECT_ROOT / "seeds"
NOT_SOURCE = {"target", "logs", "dbt_packages"}
# Unit tests judge the SQL, not the data: `make test` runs them, a scheduled run does not.
ARGUMENTS = ("--exclude-resource-type", "unit_test")


class DbtError(Exception):
    """dbt could not parse or start. One line."""


@dataclass(frozen=True)
class Node:
    """One finished node. `status` is dbt's word (success, error, skipped, pass, fail, warn); `rows` counts a built
    table, `failures` the rows a test returned; None where there is nothing to count."""

    unique_id: str
    status: str
    seconds: float
    message: str
    rows: int | None = None
    failures: int | None = None

    @property
    def is_built(self) -> bool:
        return self.status == "success"

    @property
    def is_failed(self) -> bool:
        return self.status in ("error", "fail", "runtime error")

    @property
    def name(self) -> str:
        """`model fct_opportunities`, `test unique_…`: the id without the package and a test's hash."""
        kind, _, name = self.unique_id.split(".")[:3]
        return f"{kind} {name}"


class Dbt:
    """The dbt project, parsed for one warehouse: targets, logs and the parsed manifest live in `dbt/` beside the file.

    A manifest names the database after the warehouse file, so each warehouse folder keeps its own.
    """

    def __init__(self, warehouse: Path) -> None:
        self.warehouse = warehouse
        self.target = warehouse.parent / "dbt"
        self._parsed: Any = None

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """The manifest as JSON, parsed anew when a file of `dbt/` or `seeds/` changed since. Raises DbtError."""
        stamp, digest = self.target / "parsed_from", self.digest
        with self._one_parser_at_a_time():
            if not stamp.exists() or stamp.read_text() != digest:
                stamp.unlink(missing_ok=True)
                self._parse()
                stamp.write_text(digest)
            return json.loads((self.target / "manifest.json").read_text())

    @cached_property
    def incremental_relations(self) -> list[str]:
        """`schema.table` of every model that adds to what stands."""
        models = (node for node in self.manifest["nodes"].values() if node["resource_type"] == "model")
        return sorted(f"{m['schema']}.{m['alias']}" for m in models if m["config"]["materialized"] == "incremental")

    def build(
        self, arguments: Sequence[str], variables: Mapping[str, str] | None = None, full_refresh: bool = False
    ) -> Iterator[Node]:
        """Run `dbt build` with these selection arguments and hand over each node as it finishes.

        A failing node does not raise. Raises DbtError where dbt could not run at all. Every connection is closed after.
        """
        command = ["build", *arguments, *ARGUMENTS, "--no-write-json", "--vars", json.dumps(dict(variables or {}))]
        yield from self._nodes(command + ["--full-refresh"] * full_refresh)

    def unit_tests(self) -> Iterator[Node]:
        """Run every dbt unit test; the models they stand on must have been built once. Raises DbtError."""
        yield from self._nodes(["test", "--select", "test_type:unit"])

    def _nodes(self, command: list[str]) -> Iterator[Node]:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        if self._parsed is None:
            with self._one_parser_at_a_time():
                self._parse("--no-write-json")
        finished: queue.SimpleQueue[Node | Exception | None] = queue.SimpleQueue()

        def work() -> None:
            try:
                result = self._invoke(command, finished)
                finished.put(DbtError(_one_line(result.exception)) if result.exception else None)
            finally:
                DuckDBConnectionManager.close_all_connections()
                finished.put(None)

        worker = threading.Thread(target=work, name="dbt", daemon=True)
        worker.start()
        while (node := finished.get()) is not None:
            if isinstance(node, Exception):
                worker.join()
                raise node
            yield node
        worker.join()

    def _parse(self, *arguments: str) -> None:
        # Parsing opens no database. dbt parses all files anew where a variable of the profile changed, so it is given
        # the file's name alone: what was parsed for a warehouse serves its copies.
        result = self._invoke(["parse", *arguments], warehouse=Path(self.warehouse.name))
        if not result.success:
            raise DbtError(f"dbt parse: {_one_line(result.exception)}")
        self._parsed = result.result

    def _invoke(self, command: list[str], finished: queue.SimpleQueue | None = None, warehouse: Path | None = None):
        from dbt.cli.main import dbtRunner

        folders = ["--project-dir", DBT_FOLDER, "--profiles-dir", DBT_FOLDER, "--target-path", self.target]
        quiet = ["--log-path", self.target / "logs", "--log-level", "none", "--log-level-file", "none", "--quiet"]
        report = [lambda event: _report(event, finished)] if finished else []
        runner = dbtRunner(manifest=self._parsed if finished else None, callbacks=report)
        with _environment(WAREHOUSE_PATH=str(warehouse or self.warehouse)):  # the profile reads it
            return runner.invoke([*command, *map(str, folders + quiet)])

    @cached_property
    def digest(self) -> str:
        """Checksum of every file of `dbt/` and `seeds/` and of dbt's version."""
        digest = hashlib.sha256(f"{version('dbt-core')} {self.warehouse.stem}".encode())
        for path in sorted(_source_files()):
            digest.update(f"\n{path.relative_to(PROJECT_ROOT)}\n".encode() + path.read_bytes())
        return digest.hexdigest()

    @contextmanager
    def _one_parser_at_a_time(self) -> Iterator[None]:
        self.target.mkdir(parents=True, exist_ok=True)
        with (self.target / "parse.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set for the length of the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@cache
def dbt_for(warehouse: Path) -> Dbt:
    """The one Dbt of a warehouse in this process, so that it is parsed once."""
    return Dbt(warehouse)


def company_settings() -> Mapping[str, Any]:
    """The vars of `dbt_project.yml`: time zone, fiscal calendar, minimum n …"""
    return yaml.safe_load((DBT_FOLDER / "dbt_project.yml").read_text())["vars"]


def contract(schema: str, model: str) -> dict[str, str]:
    """The columns a published model promises, with their types."""
    [described] = yaml.safe_load((DBT_FOLDER / "models" / schema / f"{model}.yml").read_text())["models"]
    return {column["name"]: column["data_type"] for column in described["columns"]}


def _source_files() -> Iterator[Path]:
    for folder in (DBT_FOLDER, SEEDS_FOLDER):
        for path in folder.rglob("*"):
            inside = path.relative_to(folder)
            if path.is_file() and inside.parts[0] not in NOT_SOURCE and not inside.name.startswith("."):
                yield path


def _report(event: Any, finished: queue.SimpleQueue) -> None:
    """Called by dbt in the thread that ran the node, while its connection still stands."""
    if event.info.name != "NodeFinished":
        return
    info, result = event.data.node_info, event.data.run_result
    is_table = info.materialized in ("table", "incremental", "seed") and result.status == "success"
    is_test = info.resource_type == "test"
    finished.put(
        Node(
            unique_id=info.unique_id,
            status=result.status,
            seconds=result.execution_time,
            message=_one_line(result.message),
            rows=_count(info.node_relation.relation_name) if is_table else None,
            failures=result.num_failures if is_test else None,
        )
    )


def _count(relation: str) -> int:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    handle = DuckDBConnectionManager.env().handle()
    try:
        return handle.cursor().execute(f"select count(*) from {relation}").fetchone()[0]
    finally:
        handle.close()


def _one_line(text: object) -> str:
    return " ".join(str(text or "").split())
