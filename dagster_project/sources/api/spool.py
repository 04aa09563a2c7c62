"""What a pull has read so far, on disk: Parquet parts of text columns, and a note of how far it came.

A pull that is killed or stopped by a quota is taken up where the last part ends; parts the note does not name are
leftovers and are cleared away. Once the load it fed has its verdict, the pull is thrown away. Nothing here is a secret,
but it holds customers' records: it lies beside the warehouse and is readable by its owner only.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from dagster_project.sources import Rejected, Table
from dagster_project.sources.api.batches import schema
from dagster_project.sources.landing import PULL_MEMORY, PULL_THREADS


@dataclass
class StreamNote:
    """How far one stream came.

    before: the cursor it began from. resume: where the next page of the first unfinished partition begins. reached: the
    furthest its records reach. parts: table to its number of finished parts.
    """

    before: str | None
    partitions: list[str]
    finished: int = 0
    resume: str | None = None
    reached: str | None = None
    is_whole: bool = False
    rows: int = 0
    parts: dict[str, int] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        return self.finished >= len(self.partitions)


class Spool:
    """One pull of one source in `folder`. basis: what it builds on; a pull left by another basis is thrown away."""

    def __init__(self, folder: Path, basis: str) -> None:
        self.folder, self.basis = folder, basis
        self.streams: dict[str, StreamNote] = {}
        self.began: str | None = None
        self.extracted_at: str | None = None
        self._read()

    def rows(self, stream: str, table: Table) -> str:
        """SQL of what a stream read for a table, each record once."""
        parts = [
            self._part(stream, table.name, number) for number in range(self.streams[stream].parts.get(table.name, 0))
        ]
        if not parts:
            return (
                "select " + ", ".join(f'cast(null as varchar) as "{name}"' for name in table.columns) + " where false"
            )
        listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in parts)
        key = ", ".join(f'"{name}"' for name in table.key)
        repeated = f"select 1 from read_parquet([{listed}]) group by {key} having count(*) > 1"
        if self._connection.execute(f"select exists({repeated})").fetchone()[0]:
            return _distinct(listed, table)
        columns = ", ".join(f'"{name}"' for name in table.columns)
        return f"select {columns} from read_parquet([{listed}])"

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """For looking at the parts; beyond its memory it works on disk, among them."""
        limits = {"memory_limit": PULL_MEMORY, "threads": PULL_THREADS, "temp_directory": str(self.folder / "work")}
        return duckdb.connect(config={"autoinstall_known_extensions": "false", **limits})

    def add(
        self, stream: str, parts: Iterable[tuple[Table, Sequence[pa.RecordBatch]]], rejected: Iterable[Rejected] = ()
    ) -> None:
        """Write one part a table and remember it; `save` makes it count. Rejected rows are kept beside."""
        note = self.streams[stream]
        for table, rows in parts:
            number = note.parts.get(table.name, 0)
            path = self._part(stream, table.name, number)
            path.parent.mkdir(exist_ok=True)
            partial = path.with_suffix(".partial")
            with pq.ParquetWriter(partial, schema(table.columns), compression="zstd", compression_level=1) as writer:
                for each in rows:
                    writer.write_batch(each)
            partial.rename(path)
            note.parts[table.name] = number + 1
            note.rows += sum(len(each) for each in rows)
        refused = [json.dumps(asdict(row)) for row in rejected]
        if refused:
            name = "rejected"
            number = note.parts.get(name, 0)
            path = self._part(stream, name, number).with_suffix(".json")
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(refused))
            note.parts[name] = number + 1

    def rejected(self) -> Iterator[Rejected]:
        for stream, note in self.streams.items():
            for number in range(note.parts.get("rejected", 0)):
                path = self._part(stream, "rejected", number).with_suffix(".json")
                yield from (Rejected(**json.loads(line)) for line in path.read_text().splitlines())

    def save(self) -> None:
        """What was added and noted so far survives a kill."""
        note = {
            "basis": self.basis,
            "began": self.began,
            "extracted_at": self.extracted_at,
            "streams": {name: asdict(stream) for name, stream in self.streams.items()},
        }
        partial = self._note.with_suffix(".partial")
        with partial.open("w") as file:
            json.dump(note, file)
        partial.replace(self._note)

    def forget(self, stream: str) -> None:
        """Throw away what one stream read, to begin it again."""
        self.streams.pop(stream, None)
        shutil.rmtree(self.folder / stream, ignore_errors=True)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _note(self) -> Path:
        return self.folder / "pull.json"

    def _part(self, stream: str, table: str, number: int) -> Path:
        return self.folder / stream / f"{table}-{number:06}.parquet"

    def _read(self) -> None:
        try:
            note = json.loads(self._note.read_text())
        except (FileNotFoundError, ValueError):
            note = {}
        if note.get("basis") != self.basis:
            self.clear()
        else:
            self.began, self.extracted_at = note["began"], note["extracted_at"]
            self.streams = {name: StreamNote(**stream) for name, stream in note["streams"].items()}
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.save()


def _distinct(listed: str, table: Table) -> str:
    """SQL of parts in which a record was read several times, because it changed meanwhile, a page came twice or a
    partition was begun again: the row read last stands."""
    columns, key = (", ".join(f'"{name}"' for name in names) for names in (table.columns, table.key))
    return f"""
        with parts as (from read_parquet([{listed}], filename = true, file_row_number = true)),
        repeated as (select {key} from parts group by all having count(*) > 1)
        select {columns} from parts anti join repeated using ({key})
        union all
        select {columns} from (
            select *, row_number() over (partition by {key} order by filename desc, file_row_number desc) as nth
            from parts semi join repeated using ({key})
        ) where nth = 1
    """
