"""What all API connectors share: pull every stream to disk, take up a pull that broke off, hand over the tables."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from dagster_project.sources import Extract, Progress, Rejected, Table
from dagster_project.sources.api.batches import aligned, batch
from dagster_project.sources.api.spool import Spool, StreamNote

ROWS_PER_PART = 50_000  # what is held in memory at most, and lost by a kill
SECONDS_PER_PART = 30.0
SECONDS_PER_LINE = 10.0

Rows = Sequence[Mapping[str, Any]] | pa.RecordBatch


@dataclass(frozen=True)
class Page:
    """One answer of an API.

    rows: table name to its records or to a batch of text columns; columns the table does not have are left out.
    resume: where the next page of this partition begins, in the stream's own words; None where a page cannot be resumed
    at. reached: the furthest these records reach, as a text whose order is that of time. rejected: records that cannot
    be told as rows at all; a value of the wrong type is the landing step's to reject.
    """

    rows: Mapping[str, Rows]
    resume: str | None = None
    reached: str | None = None
    rejected: tuple[Rejected, ...] = ()


class Stream(ABC):
    """One kind of record of an API, read in partitions of pages.

    name: as the API calls it. tables: those its pages fill, and nobody else's do.
    """

    name: str
    tables: tuple[Table, ...]

    @abstractmethod
    def partitions(self, cursor: str | None) -> list[str]:
        """How the pull is cut, told once a pull; each is read by `pages`, in this order. Empty: there is nothing to
        read. cursor: where the last accepted load came to (see `cursor`), None to read everything."""

    @abstractmethod
    def pages(self, partition: str, resume: str | None) -> Iterator[Page]:
        """The pages of one partition, from the first or from where a page said that the next one begins.

        Order the partitions so that a record which changes meanwhile is read again later rather than never."""

    def is_whole(self, cursor: str | None) -> bool:
        """Whether a pull from this cursor carries every record there is, so that absent ones count as deleted."""
        return cursor is None

    def cursor(self, before: str | None, reached: str | None) -> str | None:
        """What the next pull is to begin from, once all is read."""
        return reached or before


class ApiSource(ABC):
    """An upstream system behind an API.

    folder: where pulls lie, of this source alone. say: takes progress lines and warnings until `resume` names another
    listener; hand `tell` to whoever is to speak.
    """

    origin: str
    fingerprint: str | None = None  # a cursor says itself what it was read with

    def __init__(self, folder: Path, say: Callable[[str], None] = print) -> None:
        self.folder, self.say = Path(folder), say
        self._progress = Progress({})
        self._spool: Spool | None = None

    @property
    def began(self) -> datetime:
        """When the pull began, on the API's clock; the same for a pull that is taken up again."""
        return datetime.fromisoformat(self._spool.began)

    @property
    def system(self) -> str:
        return self.origin

    @abstractmethod
    def tables(self) -> list[Table]:
        """Every table this source fills."""

    @abstractmethod
    def streams(self) -> Iterable[Stream]:
        """What there is to read, after a look at what the API lets this login see. Asked once a pull."""

    @abstractmethod
    def now(self) -> datetime:
        """The API's own clock, UTC without a zone."""

    def reading(self) -> str:
        """Changes whenever the way of reading changes, so that no pull is taken up in another way."""
        return ""

    def tell(self, line: str) -> None:
        self.say(line)

    def resume(self, progress: Progress, say: Callable[[str], None] | None = None) -> None:
        self._progress, self.say = progress, say or self.say

    def extracts(self) -> Iterator[Extract]:
        """Pull everything to disk, then hand over each table that a stream fills."""
        try:
            yield from self._extracts()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of connections; the client of a connector is called `client`."""
        if client := getattr(self, "client", None):
            client.close()

    def _extracts(self) -> Iterator[Extract]:
        basis = json.dumps([self._progress.judged, dict(self._progress.cursors), self.reading()], sort_keys=True)
        self._spool = spool = Spool(self.folder, basis)
        streams = list(self.streams())
        spool.began = spool.began or self.now().isoformat()
        spool.save()
        for stream in streams:
            self._pull(spool, stream)
        if spool.extracted_at is None:
            spool.extracted_at = self._instant().isoformat()
            spool.save()
        extracted_at = datetime.fromisoformat(spool.extracted_at)
        for stream in streams:
            note = spool.streams[stream.name]
            cursor = stream.cursor(note.before, note.reached)
            for table in stream.tables:
                rows = spool.rows(stream.name, table)
                yield Extract(replace(table, full=table.full or note.is_whole), rows, extracted_at, cursor)

    def rejected(self) -> Iterator[Rejected]:
        if self._spool:
            yield from self._spool.rejected()

    def _instant(self) -> datetime:
        """When the pull ended, later than what is landed already."""
        last = self._progress.extracted_at
        return max(self.now(), last + timedelta(microseconds=1)) if last else self.now()

    def _pull(self, spool: Spool, stream: Stream) -> None:
        note = spool.streams.get(stream.name)
        if note is None:
            before = self._progress.cursors.get(stream.tables[0].relation)
            note = StreamNote(before, stream.partitions(before), is_whole=stream.is_whole(before))
            spool.streams[stream.name] = note
            spool.save()
        elif note.is_done:
            return
        else:
            self.say(f"{self.origin} {stream.name}: goes on after {note.rows:,} rows pulled before")
        telling = _Telling(self.say, f"{self.origin} {stream.name}", note)
        while not note.is_done:
            buffer = _Buffer(spool, stream)
            for page in stream.pages(note.partitions[note.finished], note.resume):
                buffer.take(page)
                telling.now(buffer.rows)
            buffer.flush()
            note.finished, note.resume = note.finished + 1, None
            spool.save()
        telling.end()


class _Buffer:
    """Pages on their way to disk, in memory until they are worth a part."""

    def __init__(self, spool: Spool, stream: Stream) -> None:
        self.spool, self.stream, self.note = spool, stream, spool.streams[stream.name]
        self.tables = {table.name: table for table in stream.tables}
        self._empty()

    def take(self, page: Page) -> None:
        for name, rows in page.rows.items():
            table = self.tables[name]
            columns = table.columns
            told = aligned(rows, columns) if isinstance(rows, pa.RecordBatch) else batch(rows, columns)
            if len(told):
                self.batches.setdefault(table.name, []).append(told)
                self.rows += len(told)
        self.rejected += page.rejected
        self.reached = max(filter(None, (self.reached, page.reached)), default=None)
        if self._is_due():  # a page to go on from, or else the partition is read again and its first copies give way
            self.note.resume = page.resume or self.note.resume
            self.flush()
            self.spool.save()

    def flush(self) -> None:
        parts = [(self.tables[name], batches) for name, batches in self.batches.items()]
        self.spool.add(self.stream.name, parts, self.rejected)
        self.note.reached = max(filter(None, (self.note.reached, self.reached)), default=None)
        self._empty()

    def _is_due(self) -> bool:
        return self.rows >= ROWS_PER_PART or time.monotonic() - self.since > SECONDS_PER_PART

    def _empty(self) -> None:
        self.batches: dict[str, list[pa.RecordBatch]] = {}
        self.rejected: tuple[Rejected, ...] = ()
        self.rows, self.reached, self.since = 0, None, time.monotonic()


class _Telling:
    """Progress lines of a long pull, one every ten seconds at most, and one at its end."""

    def __init__(self, say: Callable[[str], None], what: str, note: StreamNote) -> None:
        self.say, self.what, self.note = say, what, note
        self.started = self.told = time.monotonic()
        self.before = note.rows

    def now(self, in_memory: int) -> None:
        moment = time.monotonic()
        if moment - self.told < SECONDS_PER_LINE:
            return
        self.told = moment
        rows = self.note.rows + in_memory
        pace = (rows - self.before) / (moment - self.started)
        part = f"part {self.note.finished + 1} of {len(self.note.partitions)}"
        self.say(f"{self.what}: {rows:,} rows so far, {part}, {pace:,.0f} rows a second")

    def end(self) -> None:
        self.say(f"{self.what}: {self.note.rows:,} rows pulled in {time.monotonic() - self.started:.1f} s")
