"""A company, landed and built without Dagster: what these tests look at is the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import duckdb
import pytest

from dagster_project import builds
from dagster_project.dbt_build import Dbt
from dagster_project.settings import PROJECT_ROOT, Settings
from dagster_project.sources import landing
from dagster_project.sources.registry import open_sources
from dagster_project.warehouse import connect, prepare
from tests.made_once import give_parsed

SHARED_DATA = PROJECT_ROOT.parent / "shared" / "data"
EVERYTHING_BUT_FORECAST = ("--exclude", "int_locks_due+")  # nothing that is made of locks


def real_export(name: str) -> Path:
    """The folder of one of the real exports, or a skip where they are not beside the project."""
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"the {name} export is not beside this project")
    return folder


@cache
def _dbt(warehouse: Path) -> Dbt:
    """The project is parsed once a folder, so a second company there builds faster."""
    return Dbt(warehouse)


class Company:
    """One warehouse in a folder. `variables` are dbt vars in place of the project's: time zone, fiscal year …"""

    def __init__(self, folder: Path, variables: Mapping[str, object] | None = None, **settings) -> None:
        self.settings = Settings(warehouse=folder / "warehouse.duckdb", published=folder / "published", **settings)
        self.variables = dict(variables or {})
        give_parsed(folder)
        self.dbt = _dbt(self.settings.warehouse)

    def land(self, **changed) -> Company:
        """Land what the sources hold, and accept it."""
        self.settings = replace(self.settings, **changed)
        with connect(self.settings.warehouse) as connection:
            prepare(connection)
            sources = open_sources(self.settings)
            landing.activate(connection, sources)
            for source in sources:
                landing.land(connection, source, say=lambda line: None)
            for load in landing.pending(connection):
                landing.judge(connection, load.schema, load.load_id, accepted=True)
        return self

    def build(self, *selection: str, start_over: bool = False, **changed) -> Company:
        """Land, and build the selected models; any failing node fails the test. Their data tests run with the first build.

        Incremental models catch up where a run would let them; `caught_up_from` says from where.
        """
        self.land(**changed)
        code, incremental = f"{self.dbt.digest} {self.variables}", self.dbt.incremental_relations
        with connect(self.settings.warehouse) as connection:
            basis = builds.present_basis(connection, self.settings.as_of)
            stood = builds.last_builds(connection)
            stood_at = None if start_over else builds.caught_up_to(stood, incremental, code, basis)
            builds.forget_builds(connection, incremental)
        variables = self.variables | builds.variables(self.settings.as_of, stood_at)
        arguments = (selection or EVERYTHING_BUT_FORECAST) + (("--exclude-resource-type", "test") if stood else ())
        nodes = list(self.dbt.build(arguments, variables, full_refresh=stood_at is None))
        failed = [f"{node.name}: {node.message}" for node in nodes if node.is_failed]
        assert not failed, "\n".join(failed)
        self.caught_up_from = stood_at
        built = {node.name.removeprefix("model ") for node in nodes if node.is_built}
        with connect(self.settings.warehouse) as connection:
            relations = [name for name in incremental if name.split(".")[1] in built]
            builds.record_builds(connection, relations, code, basis, "test")
        return self

    def query(self, sql: str, *parameters) -> list[tuple]:
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            return connection.execute(sql, parameters).fetchall()

    def frame(self, sql: str):
        """The answer as a pandas data frame."""
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            return connection.execute(sql).df()

    def one(self, sql: str, *parameters):
        [(value,)] = self.query(sql, *parameters)
        return value

    def contents(self, *schemas: str) -> dict[str, tuple[int, str]]:
        """Rows and a checksum of every table of these schemas."""
        tables = self.query(
            "select schema_name || '.' || table_name from duckdb_tables() where list_contains(?, schema_name) order by 1",
            list(schemas),
        )
        return {
            table: self.query(
                f"select count(*), coalesce(cast(sum(cast(hash(t) as hugeint)) as varchar), '') from {table} as t"
            )[0]
            for (table,) in tables
        }
