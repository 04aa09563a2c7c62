"""The landing step: it alone adds raw rows. It compares, stamps and records; what rows mean is SQL's business.

One load is one transaction over all tables of a source. A row becomes a new version of its key if it differs from the
key's newest accepted version: A, B, A is three versions, and the same input twice adds nothing. Kinds of load:

* `load`: an extract newer than the last accepted one.
* `correction`: an extract of the same instant as the last accepted one that differs, so its mapping or a file of it was
  mended. A changed row replaces the version before it (`_is_correction`, with that version's `_extracted_at`). A key
  that the last extract carried and this one does not is withdrawn (`_is_deleted` and `_is_correction`), to be read as
  if it had never been.
* `replacement`: all that the source landed in the table before gives way once this load is accepted. For a source whose
  rows bring their own `_extracted_at` (every extract is its whole history) when its fingerprint changes, and for a
  single export that a mended mapping dates earlier.

A mapping changed together with a newer export cannot be told from movement.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain

import duckdb
import pyarrow as pa

from dagster_project.settings import UserError
from dagster_project.sources import Extract, Progress, ResumingSource, Source, Table
from dagster_project.transactions import transaction

Say = Callable[[str], None]

TAKEN_OUT = "taken out: its run ended before its verdict"
# What the engine may use where a pull lands, however long it is: beyond its memory it works on disk. Each thread that
# writes holds rows, so many threads would not fit.
PULL_MEMORY, PULL_THREADS = "400MB", 2


@dataclass(frozen=True)
class TableReport:
    """What one load did to one table; rows_read counts the rejected ones too, rows_landed not the deleted ones."""

    relation: str
    rows_read: int
    rows_landed: int
    rows_deleted: int
    rows_rejected: int
    seconds: float


@dataclass(frozen=True)
class LoadReport:
    """What one load did."""

    origin: str
    system: str
    load_id: int
    seconds: float
    tables: tuple[TableReport, ...]


@dataclass(frozen=True)
class PendingLoad:
    """What one load landed in one raw schema, waiting for its verdict."""

    schema: str
    load_id: int
    origin: str
    system: str


def row_hash(table: Table) -> str:
    """SQL of `_row_hash`: DuckDB's hash of the shape's columns, in order."""
    return f"hash({_names(table.columns)})"


def land(connection: duckdb.DuckDBPyConnection, source: Source, say: Say = print) -> LoadReport:
    """Append what the source read to its raw tables, all of it or nothing; the load then waits for `judge`.

    A load of this source that was never judged counts as one that died: its rows are taken out first. A pull of an API
    may be of any length, so the engine keeps to PULL_MEMORY from then on. UserError where the extract is older than
    what was landed.
    """
    started, loaded_at = time.monotonic(), datetime.now(UTC).replace(tzinfo=None)
    landed: dict[str, _Landed] = {}
    if isinstance(source, ResumingSource):
        _keep_small(connection)
    with transaction(connection):
        tables = source.tables()
        for schema in dict.fromkeys(table.schema for table in tables):
            _take_out_unjudged(connection, source, schema)
        [(load_id,)] = connection.execute("select nextval('ops.load_ids')").fetchall()
        if isinstance(source, ResumingSource):
            source.resume(progress(connection, source), say)
        for extract in chain(source.extracts(), _no_longer_read(connection, source, landed)):
            if extract.table.relation in landed:
                raise ValueError(f"source {source.origin} hands over {extract.table.relation} twice in one load")
            landed[extract.table.relation] = _Landing(connection, source, load_id, loaded_at, extract, say).run()
        rejected = _keep_rejected(connection, source, load_id)
        landed = {relation: each.with_rejected(rejected[each.table.name]) for relation, each in landed.items()}
        for each in landed.values():
            _record(connection, source, load_id, loaded_at, each)
    reports = tuple(each.report for each in landed.values())
    return LoadReport(source.origin, source.system, load_id, time.monotonic() - started, reports)


def progress(connection: duckdb.DuckDBPyConnection, source: Source) -> Progress:
    """How far the accepted loads of a source have come; loads that died before their verdict do not count."""
    tables = source.tables()
    cursors, instants = {}, []
    for table in tables:
        found = connection.execute(
            f"select extracted_at, cursor from {table.schema}.loads where {_of(source, table)} order by load_id desc"
        ).fetchone()
        if found:
            instants.append(found[0])
            cursors[table.relation] = found[1]
    judged = [
        connection.execute(
            f"""
            select max(load_id) from {schema}.loads
            where origin = ? and system = ? and status <> 'landed' and refused_reason is distinct from ?
            """,
            [source.origin, source.system, TAKEN_OUT],
        ).fetchone()[0]
        for schema in dict.fromkeys(table.schema for table in tables)
    ]
    return Progress(
        {relation: cursor for relation, cursor in cursors.items() if cursor},
        max(filter(None, instants), default=None),
        max(filter(None, judged), default=None),
    )


def judge(
    connection: duckdb.DuckDBPyConnection, schema: str, load_id: int, accepted: bool, reason: str | None = None
) -> None:
    """Accept or refuse what a load landed in one raw schema; only accepted rows are ever read or compared with.

    An accepted load may still be refused, which takes it back, while no later one stands on it. Refused is final.
    ValueError where there is no such load, or it cannot be judged so.
    """
    loads = f"{schema}.loads"
    with transaction(connection):
        found = connection.execute(
            f"select distinct status, origin, system from {loads} where load_id = ?", [load_id]
        ).fetchall()
        if not found:
            raise ValueError(f"{loads} has no load {load_id}")
        [(status, origin, system)] = found
        if status == "refused" or (status == "accepted" and accepted):
            raise ValueError(f"load {load_id} in {schema} is {status} already")
        [(later,)] = connection.execute(
            f"select max(load_id) from {loads} where load_id > ? and origin = ? and system = ? and status <> 'refused'",
            [load_id, origin, system],
        ).fetchall()
        if later:
            raise ValueError(f"load {load_id} in {schema}: load {later} stands on it; refuse that one first")
        connection.execute(
            f"update {loads} set status = ?, refused_reason = ? where load_id = ?",
            ["accepted" if accepted else "refused", None if accepted else reason, load_id],
        )
        note = f"replaced by load {load_id}"
        before, after = (("accepted", None), ("refused", note)) if accepted else (("refused", note), ("accepted", None))
        connection.execute(
            f"""
            update {loads} set status = ?, refused_reason = ?
            where status = ? and refused_reason is not distinct from ? and load_id < ? and origin = ? and system = ?
            and table_name in (select table_name from {loads} where load_id = ? and kind = 'replacement')
            """,
            [*after, *before, load_id, origin, system, load_id],
        )


def pending(connection: duckdb.DuckDBPyConnection) -> list[PendingLoad]:
    """Loads without a verdict, oldest first."""
    schemas = connection.execute("select schema_name from duckdb_tables() where table_name = 'loads'").fetchall()
    waiting = [
        PendingLoad(schema, *load)
        for (schema,) in schemas
        for load in connection.execute(
            f"select distinct load_id, origin, system from {schema}.loads where status = 'landed'"
        ).fetchall()
    ]
    return sorted(waiting, key=lambda load: (load.load_id, load.schema))


def activate(connection: duckdb.DuckDBPyConnection, sources: Iterable[Source]) -> None:
    """From now on staging reads these sources and no others."""
    with transaction(connection):
        connection.execute("delete from ops.active_sources")
        for source in sources:
            connection.execute("insert into ops.active_sources values (?, ?)", [source.origin, source.system])


@dataclass(frozen=True)
class _Landed:
    """A table's report with what else its row in `loads` says."""

    table: Table
    report: TableReport
    kind: str
    first_extracted_at: datetime | None
    extracted_at: datetime | None
    cursor: str | None

    def with_rejected(self, count: int) -> _Landed:
        """Add rows that the source had rejected itself."""
        read, rejected = self.report.rows_read + count, self.report.rows_rejected + count
        return replace(self, report=replace(self.report, rows_read=read, rows_rejected=rejected))


@dataclass(frozen=True)
class _LastLoad:
    """The newest accepted load of a table. exports: how many instants the accepted loads of it have."""

    extracted_at: datetime
    fingerprint: str | None
    rows_carried: int
    exports: int


@dataclass(frozen=True)
class _Problem:
    """Why a row cannot be read: an SQL condition, the column at fault, SQL of its value, and the reason."""

    condition: str
    column: str
    value: str
    reason: str


class _Landing:
    """One table's part of a load. It works in temporary relations:

    given: rows as read · arrived: those that can be read, typed and hashed · known: the newest accepted version of each
    key · fresh: arrived rows that are not known · repeated: hashed keys of fresh rows that this extract has several
    times · versions: which of their rows are versions.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        load_id: int,
        loaded_at: datetime,
        extract: Extract,
        say: Say,
    ) -> None:
        self.connection, self.sql, self.say = connection, connection.execute, say
        self.source, self.load_id, self.loaded_at = source, load_id, loaded_at
        self.extract, self.table = extract, extract.table
        self.taken_at = _utc(extract.extracted_at)
        self.last = _last_load(connection, source, self.table)
        self.kind = self._kind()
        self.is_whole = self.last is None or self.kind == "replacement"
        self.key = _names(self.table.key)

    def run(self) -> _Landed:
        started = time.monotonic()
        [(read, first, last)] = self._read()
        unreadable = self._reject_unreadable()
        self._find_known()
        self._find_fresh()
        rejected = unreadable + self._find_versions()
        landed = self._land_fresh()
        deleted = self._land_absent(is_sure=not unreadable)
        for relation in ("streamed", "hashes", "fresh", "repeated", "versions", "absent"):
            self.sql(f"drop table if exists temp.{relation}")
        kind = "load" if self.kind == "correction" and not landed + deleted else self.kind
        report = TableReport(self.table.relation, read, landed, deleted, rejected, time.monotonic() - started)
        counts = ((deleted, "deleted"), (rejected, "rejected"))
        told = "".join(f", {count:,} {what}" for count, what in counts if count)
        self.say(f"{report.relation}: {landed:,} rows new of {read:,} read{told} in {report.seconds:.1f} s")
        at = (self.taken_at or first, self.taken_at or last)
        return _Landed(self.table, report, kind, *at, self.extract.cursor)

    def _kind(self) -> str:
        if self.last is None:
            return "load"
        is_mended = self.last.fingerprint != self.source.fingerprint
        if self.taken_at is None:
            return "replacement" if is_mended else "load"
        if self.taken_at >= self.last.extracted_at:
            return "load" if self.taken_at > self.last.extracted_at else "correction"
        if is_mended and self.last.exports == 1:
            return "replacement"
        raise UserError(
            f"{self.table.relation}: this extract of {self.source.system!r} was taken {self.taken_at}, before the one "
            f"landed last ({self.last.extracted_at}); land extracts in the order they were taken"
        )

    def _read(self) -> list[tuple]:
        """Set up `given` and `arrived`; the rows read, their first and their last instant."""
        rows = self.extract.rows
        self._view("given", rows if isinstance(rows, str) else _streamed(self.connection, rows))
        types = {name.lower(): kind for name, kind, *_ in self.sql("describe given").fetchall()}
        extra = types.keys() - {name.lower() for name in self.table.columns} - {"_extracted_at"}
        if extra:
            self.say(f"{self.table.relation}: not in its shape, so ignored: {', '.join(sorted(extra))}")

        wanted = self.table.columns | {"_extracted_at": "TIMESTAMP"}
        typed = {name: _cast(name, types.get(name.lower()), kind) for name, kind in wanted.items()}
        if self.taken_at:
            typed["_extracted_at"] = f"timestamp '{self.taken_at}'"
        self.problems = [
            _Problem(f'"{name}" is not null and {typed[name]} is null', name, f'"{name}"::varchar', f"not a {kind}")
            for name, kind in wanted.items()
            if typed[name].startswith("try_cast")
        ]
        for columns, reason in ((self.table.key, "the key is missing"), (("_extracted_at",), "its instant is missing")):
            missing = " and ".join(f"{typed[name]} is null" for name in columns)
            self.problems.append(_Problem(missing, columns[-1], "null", reason))

        readable = " and ".join(f"({problem.condition}) is not true" for problem in self.problems)
        newer = "true"
        if self.taken_at is None and not self.is_whole:  # the whole history: what is not newer is landed
            newer = f"_extracted_at > timestamp '{self.last.extracted_at}'"
        values = ", ".join(f'{value} as "{name}"' for name, value in typed.items())
        self._view(
            "arrived",
            f"""
            select *, {row_hash(self.table)} as _row_hash
            from (select {values} from given where {readable}) where {newer}
            """,
        )
        at = typed["_extracted_at"]
        return self.sql(f"select count(*), min({at}), max({at}) from given").fetchall()

    def _reject_unreadable(self) -> int:
        column, value, reason = (
            "case " + " ".join(f"when {each.condition} then {told(each)}" for each in self.problems) + " end"
            for told in (lambda each: f"'{each.column}'", lambda each: each.value, lambda each: f"'{each.reason}'")
        )
        return self._reject("given", f"given where {column} is not null", column, value, reason)

    def _find_known(self) -> None:
        accepted = f"_load_id in ({_accepted_loads(self.connection, self.source, self.table)})"
        rows = f"(from {self.table.relation} where {'false' if self.is_whole else accepted}) as accepted"
        self._view(
            "known",
            f"""
            select accepted.* from {rows} left join (
                select {self.key}, max(_version) as _version from {rows} where _version > 1 group by {self.key}
            ) as again on {self._same("accepted", "again")}
            where accepted._version = coalesce(again._version, 1)
            """,
        )

    def _find_fresh(self) -> None:
        """A row is known if its hash is: that has the key in it, and one number is quick to look up."""
        self.fresh = "arrived" if self.is_whole else "fresh"
        if self.is_whole:
            return
        self.sql("create or replace temp table hashes as select _row_hash from arrived")
        self.sql(
            """
            create or replace temp table fresh as
            from arrived semi join (
                from hashes anti join (select _row_hash from known where not _is_deleted) using (_row_hash)
            ) using (_row_hash)
            """
        )

    def _find_versions(self) -> int:
        """Of a key's rows in this extract, in the order of their instants, those that differ from the one before.

        Rows of one key and instant that differ contradict each other: the one of the lowest hash stands, the others are
        rejected; returns how many.
        """
        among = "" if self.is_whole else f"where hash({self.key}) in (select hash({self.key}) from fresh)"
        self.sql(
            f"""
            create or replace temp table repeated as
            select hash({self.key}) as key_hash from arrived {among} group by key_hash having count(*) > 1
            """
        )
        self.is_repeated = self.sql("select count(*) > 0 from repeated").fetchone()[0]
        if not self.is_repeated:
            return 0
        self.sql(
            f"""
            create or replace temp table versions as
            with seen as (
                select {self.key}, _extracted_at, _row_hash, count(*) as copies,
                    row_number() over (partition by {self.key}, _extracted_at order by _row_hash) as place
                from arrived semi join repeated on hash({self.key}) = key_hash
                group by {self.key}, _extracted_at, _row_hash
            ),
            stood as (
                select *, lag(_row_hash) over (partition by {self.key} order by _extracted_at) as hash_before
                from seen where place = 1
            ),
            moved as (
                select stood.*, known._version as known_version, known._extracted_at as known_at
                from stood left join known on {self._same("stood", "known")}
                where hash_before <> stood._row_hash
                or hash_before is null and (known._row_hash is distinct from stood._row_hash or known._is_deleted)
            )
            select _row_hash, _extracted_at, known_version, known_at, copies, false as is_contradiction,
                row_number() over (partition by {self.key} order by _extracted_at) as step
            from moved
            union all
            select _row_hash, _extracted_at, null, null, copies, true, null from seen where place > 1
            """
        )
        column = self.table.key[-1]
        return self._reject(
            "arrived",
            "arrived semi join (from versions where is_contradiction) using (_row_hash, _extracted_at)",
            f"'{column}'",
            f'"{column}"::varchar',
            "'another row of this key and instant differs'",
        )

    def _land_fresh(self) -> int:
        alone = f"anti join repeated on hash({self.key}) = key_hash" if self.is_repeated else ""
        rows = f"""
            select {self.fresh}.*, known._version as known_version, known._extracted_at as known_at, 1 as step
            from (from {self.fresh} {alone}) as {self.fresh} left join known on {self._same(self.fresh, "known")}
        """
        if self.is_repeated:
            [(copies,)] = self.sql("select max(copies) from versions").fetchall()
            rows += f"""
            union all by name
            select {"distinct" if copies > 1 else ""} * exclude (copies, is_contradiction)
            from arrived inner join (from versions where not is_contradiction) using (_row_hash, _extracted_at)
            """
        is_correction = "known_version is not null" if self.kind == "correction" else "false"
        return self._insert(
            f"""
            select * replace (case when {is_correction} then known_at else _extracted_at end as _extracted_at),
                coalesce(known_version, 0) + step as _version, false as _is_deleted, {is_correction} as _is_correction
            from ({rows})
            """
        )

    def _land_absent(self, is_sure: bool) -> int:
        """Versions that say a known key is gone: deleted, or withdrawn by a correction.

        A row that could not be read may be the absent key, so then nothing counts as deleted.
        """
        if self.is_whole or self.taken_at is None:
            return 0
        is_correction = self.kind == "correction"
        if not is_correction and not self.table.full:
            return 0
        if not is_correction and not (is_sure and self._is_all_readable()):
            self.say(f"{self.table.relation}: some rows cannot be read, so absent keys are not taken for deleted")
            return 0
        carried = "true"
        if is_correction and not self._was_complete():
            # an older row that the last extract left out is not this one's to withdraw
            of_last = f"extracted_at = timestamp '{self.last.extracted_at}'"
            carried = f"_load_id in ({_accepted_loads(self.connection, self.source, self.table, of_last)})"
        self.sql(
            f"""
            create or replace temp table absent as
            select * from known anti join hashes using (_row_hash) where not _is_deleted and {carried}
            """
        )
        at = "_extracted_at" if is_correction else f"timestamp '{self.taken_at}'"
        return self._insert(
            f"""
            select * replace (
                _version + 1 as _version, true as _is_deleted, {is_correction} as _is_correction, {at} as _extracted_at
            )
            from absent anti join arrived on {self._same("absent", "arrived")}
            """
        )

    def _is_all_readable(self) -> bool:
        return not any(rejected.table == self.table.name for rejected in self.source.rejected())

    def _was_complete(self) -> bool:
        """Whether the last extract carried every key: it is the only one so far, or had a row for each."""
        if self.table.full or self.last.exports == 1:
            return True
        [(keys,)] = self.sql("select count(*) from known where not _is_deleted").fetchall()
        return keys == self.last.rows_carried

    def _insert(self, rows: str) -> int:
        columns = _names(self.table.columns)
        [(count,)] = self.sql(
            f"""
            insert into {self.table.relation} (
                {columns}, _load_id, _version, _is_deleted, _is_correction, _extracted_at, _loaded_at, _row_hash
            )
            select {columns}, {self.load_id}, _version, _is_deleted, _is_correction, _extracted_at,
                timestamp '{self.loaded_at}', _row_hash
            from ({rows})
            """
        ).fetchall()
        return count

    def _reject(self, relation: str, rows: str, column: str, value: str, reason: str) -> int:
        """Keep rows of a relation whole, with the column at fault, its value and what is wrong with it."""
        [(count,)] = self.sql(
            f"""
            insert into {self.table.schema}.rejected_rows
            select {self.load_id}, ?, ?, null, null, {column}, {value}, {reason}, to_json({relation}) from {rows}
            """,
            [self.table.name, self.source.system],
        ).fetchall()
        return count

    def _view(self, name: str, query: str) -> None:
        self.sql(f"create or replace temp view {name} as {query}")

    def _same(self, left: str, right: str) -> str:
        return " and ".join(f'{left}."{name}" is not distinct from {right}."{name}"' for name in self.table.key)


def _take_out_unjudged(connection: duckdb.DuckDBPyConnection, source: Source, schema: str) -> None:
    loads = connection.execute(
        f"select load_id, table_name from {schema}.loads where origin = ? and system = ? and status = 'landed'",
        [source.origin, source.system],
    ).fetchall()
    for load_id, table in loads:
        connection.execute(f"delete from {schema}.{table} where _load_id = ?", [load_id])
        connection.execute(
            f"""
            update {schema}.loads set status = 'refused', refused_reason = '{TAKEN_OUT}'
            where load_id = ? and table_name = ?
            """,
            [load_id, table],
        )


def _no_longer_read(
    connection: duckdb.DuckDBPyConnection, source: Source, landed: dict[str, _Landed]
) -> Iterator[Extract]:
    """Empty extracts of tables that the last extract of this instant had: a mended mapping may have dropped one."""
    newest = max((each.extracted_at for each in landed.values() if each.extracted_at), default=None)
    for table in source.tables():
        last = _last_load(connection, source, table)
        if table.relation not in landed and newest and last and last.extracted_at >= newest:
            yield Extract(table, "select null as nothing where false", newest)


def _last_load(connection: duckdb.DuckDBPyConnection, source: Source, table: Table) -> _LastLoad | None:
    found = connection.execute(
        f"""
        select extracted_at, fingerprint, rows_read - rows_rejected, count(distinct extracted_at) over ()
        from {table.schema}.loads
        where {_of(source, table)} and extracted_at is not null
        order by load_id desc limit 1
        """
    ).fetchone()
    return _LastLoad(*found) if found else None


def _accepted_loads(
    connection: duckdb.DuckDBPyConnection, source: Source, table: Table, condition: str = "true"
) -> str:
    """Their ids as an SQL list; `null`, which matches nothing, if there is none."""
    found = connection.execute(
        f"select load_id from {table.schema}.loads where {_of(source, table)} and {condition}"
    ).fetchall()
    return ", ".join(str(load_id) for (load_id,) in found) or "null"


def _of(source: Source, table: Table) -> str:
    origin, system = (name.replace("'", "''") for name in (source.origin, source.system))
    return f"table_name = '{table.name}' and origin = '{origin}' and system = '{system}' and status = 'accepted'"


def _record(
    connection: duckdb.DuckDBPyConnection, source: Source, load_id: int, loaded_at: datetime, landed: _Landed
) -> None:
    report = landed.report
    row = {
        "load_id": load_id,
        "table_name": landed.table.name,
        "origin": source.origin,
        "system": source.system,
        "kind": landed.kind,
        "fingerprint": source.fingerprint,
        "first_extracted_at": landed.first_extracted_at,
        "extracted_at": landed.extracted_at,
        "cursor": landed.cursor,
        "loaded_at": loaded_at,
        "status": "landed",
        "rows_read": report.rows_read,
        "rows_landed": report.rows_landed,
        "rows_deleted": report.rows_deleted,
        "rows_rejected": report.rows_rejected,
        "seconds": report.seconds,
    }
    connection.execute(
        f"insert into {landed.table.schema}.loads ({', '.join(row)}) values ({', '.join('?' * len(row))})",
        list(row.values()),
    )


def _keep_rejected(connection: duckdb.DuckDBPyConnection, source: Source, load_id: int) -> Counter[str]:
    """Write down the rows that the source could not read; how many of each table."""
    schemas = {table.name: table.schema for table in source.tables()}
    rows: dict[str, list[dict]] = defaultdict(list)
    for rejected in source.rejected():
        row = asdict(rejected)
        row |= {"table_name": row.pop("table"), "column_name": row.pop("column"), "row_text": row.pop("row")}
        rows[schemas[rejected.table]].append(row | {"load_id": load_id, "system": source.system})
    for schema, kept in rows.items():
        connection.register("kept_rows", pa.Table.from_pylist(kept))
        connection.execute(f"insert into {schema}.rejected_rows by name from kept_rows")
        connection.unregister("kept_rows")
    return Counter(row["table_name"] for kept in rows.values() for row in kept)


def _streamed(connection: duckdb.DuckDBPyConnection, batches: Iterable[pa.RecordBatch]) -> str:
    """Keep Arrow batches in a temporary table, which can be read more than once; the SQL that reads it."""
    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        return "select null as nothing where false"
    failure: list[BaseException] = []

    def watched() -> Iterator[pa.RecordBatch]:
        try:
            yield first
            yield from batches
        except BaseException as error:
            failure.append(error)
            raise

    connection.register("stream", pa.RecordBatchReader.from_batches(first.schema, watched()))
    try:
        connection.execute("create or replace temp table streamed as from stream")
    except duckdb.Error:
        if failure:  # what the source raised, not what DuckDB made of it
            raise failure[0] from None
        raise
    finally:
        connection.unregister("stream")
    return "from temp.streamed"


def _keep_small(connection: duckdb.DuckDBPyConnection) -> None:
    """From now on the engine keeps to what a pull may use; where it was given less already, that stands."""
    [(is_less, threads)] = connection.execute(
        """
        select parse_formatted_bytes(?) < parse_formatted_bytes(current_setting('memory_limit')),
            least(?, current_setting('threads'))
        """,
        [PULL_MEMORY, PULL_THREADS],
    ).fetchall()
    connection.execute(f"set threads = {threads}")
    if is_less:
        connection.execute(f"set memory_limit = '{PULL_MEMORY}'")


def _utc(instant: datetime | None) -> datetime | None:
    return instant.astimezone(UTC).replace(tzinfo=None) if instant and instant.tzinfo else instant


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _cast(name: str, given: str | None, kind: str) -> str:
    """SQL that reads a column of type `given` (None: it is not there) as `kind`; `try_cast` where that can fail."""
    if given is None:
        return f"cast(null as {kind})"
    if given == kind:
        return f'"{name}"'
    if kind == "VARCHAR" or (kind == "TIMESTAMP" and given.startswith("TIMESTAMP")):
        return f'cast("{name}" as {kind})'
    if kind == "TIMESTAMP" and given == "VARCHAR":  # by way of a type that does not lose the text's offset
        return f'try_cast(try_cast("{name}" as timestamptz) as timestamp)'
    return f'try_cast("{name}" as {kind})'
