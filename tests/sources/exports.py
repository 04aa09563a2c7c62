"""A small export written to a folder and read back through the files source, for the tests beside this module."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from dagster_project.sources import Rejected
from dagster_project.sources.files import FileReport, FilesSource

HEAD = """\
version: 1
source: acme
timezone: America/New_York
currency: USD
as_of: 2025-06-30
stages:
  - {stage: Prospecting, is_pipeline: false}
  - {stage: Engaging}
  - {stage: Won, outcome: won}
  - {stage: Lost, outcome: lost}
"""


@dataclass(frozen=True)
class Export:
    """An export as read: its source, its tables in a scratch DuckDB, what was rejected and the account of each file."""

    source: FilesSource
    tables: duckdb.DuckDBPyConnection
    rejected: list[Rejected]
    reports: list[FileReport]

    def rows(self, select: str) -> list[tuple]:
        return self.tables.execute(select).fetchall()

    def column(self, select: str) -> list:
        return [value for (value,) in self.rows(select)]

    def reasons(self) -> list[tuple[int, str, str | None, str]]:
        return [(row.line, row.column, row.value, row.reason) for row in self.rejected]


def load(path: Path) -> Export:
    """Read the mapping at `path`; every file's account must add up."""
    source = FilesSource(path)
    tables = duckdb.connect()
    for table in source.tables():
        columns = ", ".join(f'"{name}" {sql_type}' for name, sql_type in table.columns.items())
        tables.execute(f"create table {table.name} ({columns})")
    for extract in source.extracts():
        tables.execute(f"insert into {extract.table.name} by name {extract.rows}")
    reports, rejected = source.reports(), list(source.rejected())
    for report in reports:
        fates = (report.kept, report.exact_duplicates, report.stale, report.rejected, report.filtered)
        assert report.read == sum(fates), report
    assert sum(report.rejected for report in reports) == len(rejected)
    return Export(source, tables, rejected, reports)


def write(folder: Path, mapping: str, files: dict[str, str | bytes]) -> Path:
    """Write a mapping (after HEAD, unless it is whole) and its files; return the folder."""
    whole = mapping if mapping.lstrip().startswith("version:") else HEAD + mapping
    (folder / "mapping.yml").write_text(whole, "utf-8")
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def deals(rule: str, *cells: str, column: str = "amount", extra: str = "") -> tuple[str, dict[str, str]]:
    """A mapping of opportunities with one rule on trial, and a file with a row for each cell (of the column `cell`)."""
    mapping = f"""\
tables:
  opportunities:
    files: deals.csv
    columns:
      opportunity_id: id
      stage: {{constant: Engaging}}
      {column}: {rule}
{extra}"""
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    rows = "".join(f"{number},{cell}\n" for number, cell in enumerate(quoted, 1))
    return mapping, {"deals.csv": "id,cell\n" + rows}


def read_cells(folder: Path, rule: str, *cells: str, column: str = "amount") -> tuple[list, list[str]]:
    """What a rule makes of each cell: the values of the rows kept, in order, and the reasons of those rejected."""
    export = load(write(folder, *deals(rule, *cells, column=column)))
    values = export.column(f'select "{column}" from opportunities order by cast(opportunity_id as integer)')
    return values, [row.reason for row in export.rejected]
