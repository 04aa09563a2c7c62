"""The files source: any CRM's export, mapped onto the canonical tables by `mapping.yml` and without code.

`mapping` reads the mapping, `rules` turns a column's rule into SQL, `reading` gets files into DuckDB as text, `sifting`
parts the rows kept from the rest. The canonical columns stand in `shapes`, the words they may hold in `vocabularies`.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator
from dataclasses import astuple, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

import duckdb

from dagster_project.sources import Extract, Rejected, Table
from dagster_project.sources.files import shapes
from dagster_project.sources.files.mapping import Mapping, read_mapping
from dagster_project.sources.files.reading import find
from dagster_project.sources.files.rules import literal
from dagster_project.sources.files.sifting import FileReport, Sifted

# Beyond this DuckDB works on disk, so that an export larger than memory still loads
_MEMORY_LIMIT = "2GB"


class FilesSource:
    """A mapped export. `folder` holds a `mapping.yml`, or is a mapping file, whose `folder` says where the files are.

    Raises UserError for a mistake in the mapping: here what the mapping alone shows, in `extracts` what the files show.
    """

    origin = "files"

    def __init__(self, folder: Path):
        self.mapping: Mapping = read_mapping(Path(folder))
        self.system = self.mapping.source
        self.fingerprint = self.mapping.fingerprint
        self._sifted: dict[str, Sifted] = {}

    def tables(self) -> list[Table]:
        """Every canonical table; a mapping fills some, the others stay empty. The stage list is always whole."""
        full = {"stages"} | {name for name, filled in self.mapping.tables.items() if filled.full}
        return [replace(table, full=table.name in full) for table in shapes.TABLES]

    def extracts(self) -> Iterator[Extract]:
        """Read everything, then hand over each mapped table; so a refused mapping hands over nothing."""
        extracted_at = self.mapping.as_of or self._newest_file()
        scratch = Path(mkdtemp(prefix="warehouse-files-"))
        connection = self._connect(scratch)
        weakref.finalize(self, _clear, connection, scratch)
        self._sifted = {}
        for name, filled in self.mapping.tables.items():
            self._sifted[name] = Sifted(connection, self.mapping, filled, scratch)
        for table in self.tables():
            path = scratch / f"{table.name}.parquet"
            if table.name in self._sifted:
                self._sifted[table.name].write(path)
            elif table.name == "stages" and self.mapping.stages:
                self._write_stages(connection, table, path)
            else:
                continue
            yield Extract(table, f"select * from read_parquet({literal(str(path))})", extracted_at)

    def rejected(self) -> Iterator[Rejected]:
        for sifted in self._sifted.values():
            yield from sifted.rejected()

    def reports(self) -> list[FileReport]:
        """What became of each file's rows; complete once `extracts` has begun to yield."""
        return [report for sifted in self._sifted.values() for report in sifted.reports]

    def _connect(self, scratch: Path) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(
            str(scratch / "reading.duckdb"),
            config={"memory_limit": _MEMORY_LIMIT, "autoinstall_known_extensions": "false"},
        )
        connection.execute("set TimeZone = 'UTC'")
        return connection

    def _newest_file(self) -> datetime:
        """When the export was taken, for want of an `as_of`: the time its newest file was written, UTC."""
        parts = [part for filled in self.mapping.tables.values() for part in filled.parts]
        newest = max(path.stat().st_mtime for part in parts for _, path in find(self.mapping, part))
        return datetime.fromtimestamp(newest, UTC).replace(tzinfo=None)

    def _write_stages(self, connection: duckdb.DuckDBPyConnection, table: Table, path: Path) -> None:
        columns = ", ".join(f'"{column}" {sql_type}' for column, sql_type in table.columns.items())
        connection.execute(f"create temp table stages ({columns})")
        rows = [(self.system, *astuple(stage), None) for stage in self.mapping.stages]
        connection.executemany(f"insert into stages values ({', '.join('?' * len(table.columns))})", rows)
        connection.execute(f"copy stages to {literal(str(path))} (format parquet)")


def _clear(connection: duckdb.DuckDBPyConnection, scratch: Path) -> None:
    connection.close()
    shutil.rmtree(scratch, ignore_errors=True)
