"""Upstream systems: plain Python, a window in and rows out. Nothing here knows of Dagster.

A source declares the raw tables it fills (`Table`) and hands over what it read (`Extract`); the landing step
(`landing.py`) is the only code that writes raw tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

import pyarrow as pa


@dataclass(frozen=True)
class Table:
    """A raw table as landed: `raw_<source>.<name>`.

    columns: name to DuckDB type, in order, without the landing step's own columns.
    key: the columns that identify one record; several rows with one key are versions of it.
    full: every load carries all rows, so a key that is absent is recorded as deleted.
    """

    source: str
    name: str
    columns: dict[str, str]
    key: tuple[str, ...]
    full: bool = False
    about: str = ""

    @property
    def schema(self) -> str:
        return f"raw_{self.source}"

    @property
    def relation(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Extract:
    """What a source read for one table.

    rows: a SQL select that DuckDB runs itself, or a stream of Arrow batches; columns by name as in `table.columns`
    (a missing one lands as null).
    extracted_at: UTC instant of the read; None where the rows carry their own `_extracted_at` (several loads in one).
    cursor: where the next read of the table goes on, in the source's own words; it stands with the load and counts once
    that load is accepted.
    """

    table: Table
    rows: str | pa.RecordBatchReader | Iterator[pa.RecordBatch]
    extracted_at: datetime | None = None
    cursor: str | None = None


@dataclass(frozen=True)
class Rejected:
    """A row that could not be read, kept whole. `line` counts from 1, the header included; `row` is its JSON text."""

    table: str
    file: str
    line: int
    column: str
    value: str | None
    reason: str
    row: str


class Source(Protocol):
    """An upstream system, ready to be read.

    origin: its name in WAREHOUSE_SOURCES. system: the source system's name in every row (the origin, or the mapping's
    `source`). fingerprint: changes when the way of reading changes (a mapping), None where it cannot.
    """

    origin: str
    system: str
    fingerprint: str | None

    def tables(self) -> list[Table]: ...

    def extracts(self) -> Iterable[Extract]: ...

    def rejected(self) -> Iterable[Rejected]:
        """Rows refused while reading; complete only after every extract was consumed."""
        ...


@dataclass(frozen=True)
class Progress:
    """How far the accepted loads of a source have come.

    cursors: relation to the cursor of its newest accepted load. extracted_at: the newest accepted instant, UTC; the
    next extract has to be later. judged: the newest load with a verdict, None before the first.
    """

    cursors: Mapping[str, str]
    extracted_at: datetime | None = None
    judged: int | None = None


@runtime_checkable
class ResumingSource(Source, Protocol):
    """A source that reads only what is new since its last accepted load."""

    def resume(self, progress: Progress, say: Callable[[str], None]) -> None:
        """Told once, before `extracts`: from where to read, and who listens to progress lines and warnings."""
        ...
