"""A company, landed and built without Dagster: what these tests look at is the numbers."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import duckdb
import pytest

from dagster_project.dbt_build import Dbt
from dagster_project.settings import PROJECT_ROOT, Settings
from dagster_project.sources import landing
from dagster_project.sources.registry import open_sources
from dagster_project.warehouse import connect, prepare

SHARED_DATA = PROJECT_ROOT.parent / "shared" / "data"
EVERYTHING_BUT_FORECAST = ("--exclude", "path:models/forecast")


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
    """One warehouse in a folder."""

    def __init__(self, folder: Path, **settings) -> None:
        self.settings = Settings(warehouse=folder / "warehouse.duckdb", published=folder / "published", **settings)
        self.dbt = _dbt(self.settings.warehouse)

    def build(self, *selection: str, **changed) -> Company:
        """Land, accept, and build the selected models and their data tests; any failing node fails the test."""
        self.settings = replace(self.settings, **changed)
        with connect(self.settings.warehouse) as connection:
            prepare(connection)
            sources = open_sources(self.settings)
            landing.activate(connection, sources)
            for source in sources:
                landing.land(connection, source, say=lambda line: None)
            for load in landing.pending(connection):
                landing.judge(connection, load.schema, load.load_id, accepted=True)
        variables = {"as_of": self.settings.as_of.isoformat(" ")} if self.settings.as_of else {}
        nodes = list(self.dbt.build(selection or EVERYTHING_BUT_FORECAST, variables))
        failed = [f"{node.name}: {node.message}" for node in nodes if node.is_failed]
        assert not failed, "\n".join(failed)
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
