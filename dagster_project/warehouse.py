"""The one door to the DuckDB file: open it, use it, close it. Also the lock that lets one run at a time work on it.

Here are the tables that outlive every rebuild (raw layers, `ops`, the gate's log, the archive of locks). What stands in
them is the landing step's, the gate's and the freezing step's business; what is built from them is dbt's.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from dagster_project import dbt_build
from dagster_project.forecast import shapes as forecasts
from dagster_project.settings import UserError
from dagster_project.sources import Table
from dagster_project.sources.files import shapes as files
from dagster_project.sources.gong import shapes as gong
from dagster_project.sources.hubspot import shapes as hubspot
from dagster_project.sources.landing import row_hash
from dagster_project.sources.salesforce import shapes as salesforce
from dagster_project.transactions import transaction

ALL_TABLES: tuple[Table, ...] = (*salesforce.TABLES, *hubspot.TABLES, *gong.TABLES, *files.TABLES)

# What the landing step stamps on every raw row, after the source's own columns.
STAMPS = {
    "_load_id": "BIGINT", "_version": "INTEGER", "_is_deleted": "BOOLEAN", "_is_correction": "BOOLEAN",
    "_extracted_at": "TIMESTAMP", "_loaded_at": "TIMESTAMP", "_row_hash": "UBIGINT",
}  # fmt: skip

LOADS = {
    "load_id": "BIGINT", "table_name": "VARCHAR", "origin": "VARCHAR", "system": "VARCHAR", "kind": "VARCHAR",
    "fingerprint": "VARCHAR", "first_extracted_at": "TIMESTAMP", "extracted_at": "TIMESTAMP", "cursor": "VARCHAR",
    "loaded_at": "TIMESTAMP", "status": "VARCHAR", "refused_reason": "VARCHAR", "rows_read": "BIGINT",
    "rows_landed": "BIGINT", "rows_deleted": "BIGINT", "rows_rejected": "BIGINT", "seconds": "DOUBLE",
}  # fmt: skip

REJECTED_ROWS = {
    "load_id": "BIGINT", "table_name": "VARCHAR", "system": "VARCHAR", "file": "VARCHAR", "line": "BIGINT",
    "column_name": "VARCHAR", "value": "VARCHAR", "reason": "VARCHAR", "row_text": "VARCHAR",
}  # fmt: skip

GATE = {
    "run_id": "VARCHAR", "checked_at": "TIMESTAMP", "gate": "VARCHAR", "suite": "VARCHAR", "check_name": "VARCHAR",
    "severity": "VARCHAR", "is_passed": "BOOLEAN", "rows_failed_count": "BIGINT", "failed_amount_base": "DECIMAL(18,2)",
    "reason": "VARCHAR", "owner": "VARCHAR", "held_back": "VARCHAR", "lock_date": "DATE", "served_lock_date": "DATE",
    "fingerprint": "VARCHAR", "sources": "VARCHAR",
}  # fmt: skip

GATE_FAILING_ROWS = {
    "run_id": "VARCHAR", "checked_at": "TIMESTAMP", "suite": "VARCHAR", "check_name": "VARCHAR", "row_key": "VARCHAR",
    "row_text": "VARCHAR", "amount_base": "DECIMAL(18,2)", "opportunity_id": "VARCHAR", "lock_date": "DATE",
}  # fmt: skip

# Drawn in Python between two builds of dbt, which therefore finds it, empty or not.
LEVER_INTERVALS = {
    "level": "VARCHAR", "level_id": "VARCHAR", "quarter_start_date": "DATE", "base": "VARCHAR",
} | {
    f"{part}_{end}": "DECIMAL(18,2)"
    for part in ("stretch", "deals_in_play", "speed", "win_rate", "deal_size")
    for end in ("low", "high")
}  # fmt: skip

# The locks of every company the file ever told of; `company_id` says which.
LOCKS = {
    "company_id": "BIGINT", "lock_date": "DATE", "lock_at": "TIMESTAMP", "fiscal_quarter": "VARCHAR",
    "quarter_start_date": "DATE", "quarter_end_date": "DATE", "week_of_quarter": "INTEGER", "locked_at": "TIMESTAMP",
    "run_id": "VARCHAR", "is_backfilled": "BOOLEAN", "deal_count": "BIGINT", "open_amount": "DECIMAL(18,2)",
    "inputs_fingerprint": "VARCHAR",
}  # fmt: skip

HELD_OUT = {"is_held_out": "BOOLEAN", "held_out_by": "VARCHAR"}

LOCKED_CALLS = {
    "company_id": "BIGINT", "lock_date": "DATE", "fiscal_quarter": "VARCHAR", "quarter_start_date": "DATE",
    "rep_id": "VARCHAR", "scope": "VARCHAR", "team": "VARCHAR", "segment": "VARCHAR", "commit_amount": "DECIMAL(18,2)",
    "best_case_amount": "DECIMAL(18,2)", "pipeline_amount": "DECIMAL(18,2)", "currency_code": "VARCHAR",
    "commit_amount_base": "DECIMAL(18,2)", "best_case_amount_base": "DECIMAL(18,2)",
    "pipeline_amount_base": "DECIMAL(18,2)", "submitted_at": "TIMESTAMP", "learned_at": "TIMESTAMP",
}  # fmt: skip

LOCKED_PROGRESS = {
    "company_id": "BIGINT", "lock_date": "DATE", "fiscal_quarter": "VARCHAR", "quarter_start_date": "DATE",
    "rep_id": "VARCHAR", "team": "VARCHAR", "segment": "VARCHAR", "won_amount": "DECIMAL(18,2)", "won_count": "BIGINT",
    "quota_amount": "DECIMAL(18,2)",
}  # fmt: skip

# A new file is written in the newest format, which compresses text in half the time; only what is published has to be
# readable by older engines. It is a trait of the file: whoever opens it later keeps it.
NEWEST_STORAGE = {"storage_compatibility_version": "latest"}


def engine_settings() -> dict[str, str]:
    """How every process of a run opens DuckDB; dbt's profile says the same. Beyond its memory it works on disk."""
    return {"autoinstall_known_extensions": "false", "memory_limit": os.environ.get("WAREHOUSE_MEMORY") or "2.8GB"}


@contextmanager
def connect(path: Path | str, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse, opened for the length of the block; its folder is made if it is not there.

    UserError where the file is missing (read only), damaged, out of reach, held by another process, or its disk is
    full, also when that shows within the block.
    """
    path = Path(path)
    try:
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                duckdb.connect(str(path), config=engine_settings() | NEWEST_STORAGE).close()
        connection = duckdb.connect(str(path), read_only=read_only, config=engine_settings())
    except (duckdb.Error, OSError) as error:
        raise _told(path, error) from error
    try:
        connection.execute("set TimeZone = 'UTC'")
        yield connection
    except duckdb.Error as error:
        if re.search(rf"{re.escape(path.name)}|Corrupt database|max_temp_directory_size", str(error)):
            raise _told(path, error) from error
        raise
    finally:
        connection.close()


# What DuckDB or the system says of the file, and what to tell the user.
_TROUBLE = {
    "Could not set lock": "is in use by another process; wait for it to end or stop it",
    "database does not exist|No such file": "is not there yet; run the pipeline once to make it",
    "No space left on device|max_temp_directory_size": "cannot grow, the disk is full; free some space and run again",
    "Permission denied|Read-only file system": "is out of reach; give this user the right to write there, "
    "or set WAREHOUSE_PATH elsewhere",
    "Is a directory": "is a folder; set WAREHOUSE_PATH to a file in it",
    "Not a directory|File exists": "lies under something that is a file; set WAREHOUSE_PATH elsewhere",
    "newer version|version number": f"is not of DuckDB {duckdb.__version__}; install the version that wrote it",
    "not a valid DuckDB database|Could not read enough bytes|Corrupt database|checksum": "is damaged or not DuckDB; "
    "put a backup in its place, or move it away and run again",
}


def _told(path: Path, error: Exception) -> Exception:
    """The error as a user needs it; as it is where it says nothing of the file."""
    holder = re.search(r"Conflicting lock is held in (\S+).*?\(PID (\d+)", str(error))
    if holder:
        told = f"is in use by process {holder[2]} ({holder[1]}); wait for it to end or stop it"
    else:
        told = next((told for words, told in _TROUBLE.items() if re.search(words, str(error))), None)
    return UserError(f"warehouse {path} {told}") if told else error


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Every table that outlives a rebuild exists, typed, with its comment; columns that shapes gained are added to it.

    Repeatable, and all or nothing.
    """
    wanted = _lasting_tables()
    with transaction(connection):
        connection.execute("create schema if not exists ops; create sequence if not exists ops.load_ids")
        there = _there(connection)
        for relation, (columns, about) in wanted.items():
            comment, present = there.get(relation, (None, set(columns)))
            if relation not in there:
                connection.execute(f"create schema if not exists {relation.partition('.')[0]}")
                connection.execute(f"create table {relation} ({_typed(columns)})")
            if comment != about:
                connection.execute(f"comment on table {relation} is '{about.replace(chr(39), chr(39) * 2)}'")
            if columns.keys() - present:
                _grow(connection, relation, {name: kind for name, kind in columns.items() if name not in present})
        for view, (query, about) in _views(wanted).items():
            _show(connection, view, query, about)


def _lasting_tables() -> dict[str, tuple[dict[str, str], str]]:
    """Relation to columns and what it holds."""
    tables = {
        "ops.active_sources": (
            {"origin": "VARCHAR", "system": "VARCHAR"},
            "One row a source that is switched on: what staging may read",
        ),
        "forecast.gate": (GATE, "One row a run and check of the gate; append-only"),
        "forecast.gate_failing_rows": (GATE_FAILING_ROWS, "One row a run, check and failing row; append-only"),
        "intermediate.lever_intervals": (
            LEVER_INTERVALS,
            "One row a level, quarter and base: 95 % intervals of the lever gap's parts; replaced by each run",
        ),
        "archive.locks": (LOCKS, "One row a company and weekly lock; append-only"),
        "archive.locked_inputs": (
            {"company_id": "BIGINT"} | dbt_build.contract("forecast", "inputs") | HELD_OUT,
            "One row a company, open deal and lock, as it was known at the lock; append-only",
        ),
        "archive.locked_calls": (LOCKED_CALLS, "One row a company, person, scope and lock: the call then; append-only"),
        "archive.locked_progress": (
            LOCKED_PROGRESS,
            "One row a company, rep, team, segment and lock: won so far and quota then; append-only",
        ),
        **forecasts.shapes(),
    }
    for table in ALL_TABLES:
        tables[f"{table.schema}.loads"] = (LOADS, "One row a load and table: what arrived, and whether it was accepted")
        tables[f"{table.schema}.rejected_rows"] = (REJECTED_ROWS, "One row a row that could not be read, kept whole")
        tables[table.relation] = (table.columns | STAMPS, table.about)
    return tables


def _views(tables: dict[str, tuple[dict[str, str], str]]) -> dict[str, tuple[str, str]]:
    """View to its query and what it holds: the present company, and its locks."""
    loads = " union all ".join(
        f"select load_id, origin, system from {relation} where status = 'accepted'"
        for relation in tables
        if relation.endswith(".loads")
    )
    company = f"select min(load_id) as company_id from ({loads}) inner join ops.active_sources using (origin, system)"
    archived = {
        "locks": "One row a weekly lock that was taken: what was known then, for ever",
        "locked_inputs": "One row an open deal and lock: what the forecast rested on, and whether the gate held it out",
        "locked_calls": "One row a person, scope and lock: the newest call for the quarter then",
        "locked_progress": "One row a rep, team, segment and lock: won so far in the quarter, and its quota, then",
    }
    views = {"ops.company": (company, "One row: the company the active sources tell of, by the first load of theirs")}
    for name, about in archived.items():
        columns = ", ".join(column for column in tables[f"archive.{name}"][0] if column != "company_id")
        query = f"select {columns} from archive.{name} where company_id = (select company_id from ops.company)"
        views[f"forecast.{name}"] = (query, about)
    return views


def _show(connection: duckdb.DuckDBPyConnection, view: str, query: str, about: str) -> None:
    """The view exists with this query. It is only written where it differs, as the engine spells both."""
    spelled = "select regexp_replace(sql, '^.*? AS ', '') from duckdb_views() where schema_name || '.' || view_name = ?"
    connection.execute(f"create or replace temp view wanted as {query}")
    [(wanted,)] = connection.execute(f"{spelled} and temporary", ["main.wanted"]).fetchall()
    if connection.execute(f"{spelled} and not temporary", [view]).fetchall() != [(wanted,)]:
        connection.execute(f"create or replace view {view} as {query}")
        connection.execute(f"comment on view {view} is '{about.replace(chr(39), chr(39) * 2)}'")


def _there(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[str | None, set[str]]]:
    """Relation to its comment and columns."""
    found = connection.execute(
        """
        select schema_name || '.' || table_name, any_value(tables.comment), list(column_name)
        from duckdb_tables() as tables inner join duckdb_columns() using (database_name, schema_name, table_name)
        where database_name = current_database()
        group by all
        """
    ).fetchall()
    return {relation: (comment, set(columns)) for relation, comment, columns in found}


def _grow(connection: duckdb.DuckDBPyConnection, relation: str, columns: dict[str, str]) -> None:
    """Add columns. Rows of before are hashed anew, or the next load would find every one of them changed."""
    for name, kind in columns.items():
        connection.execute(f'alter table {relation} add column "{name}" {kind}')
    for table in ALL_TABLES:
        if table.relation == relation:
            connection.execute(f"update {relation} set _row_hash = {row_hash(table)}")


def _typed(columns: dict[str, str]) -> str:
    return ", ".join(f'"{name}" {kind}' for name, kind in columns.items())


_held: set[Path] = set()


@contextmanager
def run_lock(path: Path | str, purpose: str, say: Callable[[str], None] = print, wait: bool = True) -> Iterator[None]:
    """One run at a time on the warehouse at `path`: the block starts when no other process holds the lock.

    The lock is the operating system's, on `<path>.lock`, so a killed holder lets go of it; the file's text only says
    who holds it. A waiter says for whom, once. Re-entrant within a process. UserError where `wait` is false and another
    process holds it, or the file cannot be written.
    """
    lock = Path(f"{path}.lock").resolve()
    if lock not in _held:
        with _taken(lock, purpose, say, wait):
            _held.add(lock)
            try:
                yield
            finally:
                _held.discard(lock)
    else:
        yield


@contextmanager
def _taken(lock: Path, purpose: str, say: Callable[[str], None], wait: bool) -> Iterator[None]:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"lock file {lock}: {error.strerror}; give this user the right to write it") from error
    try:
        tries = 0
        while not _locked(descriptor):
            tries += 1
            # the second try: by then a run that has just begun has written its name
            if tries == 2 and not wait:
                raise UserError(f"the warehouse is in use by {_holder(descriptor)}; wait for it to end or stop it")
            if tries == 2:
                say(f"waiting for {_holder(descriptor)}")
            time.sleep(0.1)
        since = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
        text = json.dumps({"pid": os.getpid(), "purpose": purpose, "since": since})
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"{holder['purpose']} (pid {holder['pid']}, since {holder['since']})"
    except (ValueError, KeyError, TypeError):
        return "another run"
