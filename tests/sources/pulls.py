"""What tests of API connectors do again and again: pull from an emulator, look at what was pulled, land it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pytest
import yaml

from dagster_project.settings import PROJECT_ROOT
from dagster_project.sources import Source, landing
from dagster_project.sources.landing import LoadReport
from dagster_project.warehouse import connect, prepare

SHARED_DATA = PROJECT_ROOT.parent / "shared" / "data"


def contents(source: Source) -> dict[str, list[tuple]]:
    """One pull: table to its rows as text, in order."""
    with duckdb.connect() as connection:
        return {
            extract.table.name: sorted(connection.execute(extract.rows).fetchall(), key=repr)
            for extract in source.extracts()
        }


class Warehouse:
    """A warehouse that pulls are landed in, without gate and marts. said: the lines of all landings."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.path = folder / "warehouse.duckdb"
        with connect(self.path) as connection:
            prepare(connection)

    def land(self, source: Source, accepted: bool = True) -> LoadReport:
        with connect(self.path) as connection:
            landing.activate(connection, [source])
            report = landing.land(connection, source, say=self.said.append)
            for load in landing.pending(connection):
                landing.judge(connection, load.schema, load.load_id, accepted)
        return report

    def query(self, sql: str) -> list[tuple]:
        with connect(self.path) as connection:
            return connection.execute(sql).fetchall()


def landed(report: LoadReport) -> dict[str, tuple[int, int]]:
    """Table to (rows new, rows deleted), of those where there are any."""
    tables = {table.relation.split(".")[1]: (table.rows_landed, table.rows_deleted) for table in report.tables}
    return {name: counts for name, counts in tables.items() if any(counts)}


@cache
def specification(name: str) -> Mapping[str, Any]:
    """An API's OpenAPI description, or a skip where it is not beside the project."""
    path = SHARED_DATA / "specs" / name
    if not path.is_file():
        pytest.skip(f"the description {name} is not beside this project")
    return json.loads(path.read_text()) if path.suffix == ".json" else yaml.safe_load(path.read_text())


def recording(name: str) -> Mapping[str, Any]:
    """Recorded answers by method and path, or a skip where they are not beside the project."""
    path = SHARED_DATA / "recordings" / name
    if not path.is_file():
        pytest.skip(f"the recording {name} is not beside this project")
    return json.loads(path.read_text())["api"]


def violations(name: str, answers: Iterable[tuple[str, str, int, Any]]) -> list[str]:
    """Where answers (path template, method, status, body) are not as a description says.

    A text may be null: the descriptions leave that out, the recorded answers have it.
    """
    told = specification(name)
    found: list[str] = []
    for template, method, status, body in answers:
        responses = told["paths"][template][method]["responses"]
        response = responses.get(str(status)) or responses.get("default") or {}
        response = _resolved(told, response)
        schema = response.get("content", {}).get("application/json", {}).get("schema")
        if schema is None:
            continue
        checker = jsonschema.Draft202012Validator(_nullable({**schema, "components": told["components"]}))
        found += [
            f"{method} {template} {status} {each.json_path}: {each.message}" for each in checker.iter_errors(body)
        ]
    return found


def _resolved(told: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in part:
        return part
    for step in part["$ref"].removeprefix("#/").split("/"):
        told = told[step]
    return told


def _nullable(part: Any) -> Any:
    if isinstance(part, list):
        return [_nullable(each) for each in part]
    if not isinstance(part, dict):
        return part
    part = {name: _nullable(each) for name, each in part.items() if name not in ("example", "examples")}
    return part | {"type": ["string", "null"]} if part.get("type") == "string" and "enum" not in part else part
