"""Publishing: an immutable release of the marts, and the one symlink that says which release is served.

    published/releases/<id>/marts.duckdb, parquet/<schema>/<table>.parquet, weekly_report.html, manifest.json
    published/current -> releases/<id>

A release is built beside the others under a hidden name, verified by reopening, and only then renamed and pointed at,
so a reader never sees half of one. What is published is the schemas below; whether it may be is the gate's word.
"""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from dagster_project import gate, quoting
from dagster_project.settings import Settings, UserError, nearest
from dagster_project.warehouse import engine_settings, run_lock

SCHEMAS = ("core", "leading_indicators", "lagging_indicators", "hygiene", "forecast", "team")
LOGS = ("forecast.gate", "forecast.gate_failing_rows")  # they grow with every run, also when no figure changes
STORAGE_VERSION = "v1.0.0"  # BI drivers lag behind DuckDB's own format
KEEP = 5
LARGE = 20_000  # rows from which a table is taken over from the release before, and only what changed is written
DATABASE, MANIFEST = "marts.duckdb", "manifest.json"
LEFTOVER = (".tmp-", ".current-")  # what a killed publish leaves


@dataclass(frozen=True)
class Release:
    """A published set. `is_withdrawn`: somebody rolled back from it. `as_of` is a UTC instant."""

    id: str
    folder: Path
    published_at: str
    run_id: str | None
    as_of: str | None
    lock_date: dt.date | None
    tables: dict[str, dict]
    is_current: bool
    is_withdrawn: bool

    def __str__(self) -> str:
        as_of = f"as of {self.as_of.replace('T', ' ').removesuffix('Z')} UTC" if self.as_of else None
        lock = f"lock {self.lock_date}" if self.lock_date else None
        return ", ".join(filter(None, (f"release {self.id}", lock, as_of)))


def publish(
    settings: Settings,
    run_id: str | None = None,
    keep: int = KEEP,
    beside: Callable[[Path], object] = lambda database: None,
) -> Release:
    """Publish what the warehouse holds now and serve it; returns the release served.

    `beside` is handed the finished database and may write what else belongs into its folder, before it is sealed. It
    runs in a thread of its own while the Parquet files are written, so it opens the file with the same engine_settings.

    Where no table differs from the release served (the gate's own logs aside) that one stays: a re-run with nothing new
    would otherwise push the releases worth rolling back to off the shelf, and empty every cache keyed by release.
    UserError where the gate has not passed the present inputs, or the disk is full; what is served stays then.
    """
    with run_lock(settings.warehouse, "publish"):
        root = settings.published
        if not settings.warehouse.exists():
            raise UserError(f"warehouse {settings.warehouse} is not there yet; run the pipeline once to make it")
        with _whole_or_nothing(root):
            (root / "releases").mkdir(parents=True, exist_ok=True)
            _sweep_leftovers(root)
        with _attached(settings.warehouse) as connection:
            gate.require_pass(connection)
            tables = _tables(connection)
            about = _about(connection)
            before = served(settings)
            if before and _figures(before.tables) == _figures(tables) and before.as_of == about["as_of"]:
                return before
            release_id = _new_id(root)
            draft = root / "releases" / f".tmp-{release_id}"
            manifest = {"release_id": release_id, "run_id": run_id, **about, "duckdb": duckdb.__version__}
            manifest["published_at"] = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
            with _whole_or_nothing(root, draft):
                draft.mkdir()
                _write(connection, draft, manifest, tables, before)
        with _whole_or_nothing(root, draft):
            with ThreadPoolExecutor(1) as thread:
                besides = thread.submit(beside, draft / DATABASE)
                _write_parquet(draft, tables)
                _verify(draft, tables)
            besides.result()
            (draft / MANIFEST).write_text(json.dumps({**manifest, "tables": tables}, indent=1) + "\n")
            _seal(draft)
            os.rename(draft, root / "releases" / release_id)
            _point(root, release_id)
        _sweep_old(root, keep, {release_id} | ({before.id} if before else set()))
        return served(settings)


def releases(settings: Settings) -> list[Release]:
    """Every release kept, newest first."""
    folder = settings.published / "releases"
    names = [path.name for path in folder.iterdir() if (path / MANIFEST).is_file()] if folder.is_dir() else []
    current = _current(settings.published)
    return [
        _read(settings.published, name, current) for name in sorted(names, reverse=True) if not name.startswith(".")
    ]


def served(settings: Settings) -> Release | None:
    """The release that readers get now, None before the first."""
    current = _current(settings.published)
    return _read(settings.published, current, current) if current else None


def served_lock_date(settings: Settings) -> dt.date | None:
    release = served(settings)
    return release.lock_date if release else None


def current_marts(settings: Settings) -> Path:
    """The database readers get now, its link resolved. UserError before the first release."""
    release = served(settings)
    if release is None:
        raise UserError(f"nothing is published in {settings.published} yet; run the pipeline once")
    return (release.folder / DATABASE).resolve()


def roll_back(settings: Settings, to: str | None = None) -> Release:
    """Serve an earlier release (the one before, or the one named) and return it. No file is rewritten.

    Every release newer than it counts as withdrawn: the next roll-back passes over it, and it does not take one of the
    places of the releases that are kept. Naming a withdrawn release brings it back.
    """
    with run_lock(settings.warehouse, "roll back"):
        kept = releases(settings)
        now = served(settings)
        if to is None:
            older = [release for release in kept if now and release.id < now.id and not release.is_withdrawn]
            if not older:
                raise UserError(f"nothing to roll back to: {len(kept)} kept in {settings.published / 'releases'}")
            target = older[0]
        else:
            target = next((release for release in kept if release.id == to), None)
            if target is None:
                ids = [release.id for release in kept]
                raise UserError(f"no release {to!r}{nearest(to, ids)}; kept: {', '.join(ids) or 'none'}")
        _point(settings.published, target.id)
        for release in kept:
            mark = _withdrawn_mark(settings.published, release.id)
            if release.id > target.id:
                mark.touch()
            elif release.id == target.id:
                mark.unlink(missing_ok=True)
        return served(settings)


# --- reading the warehouse


@contextmanager
def _attached(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse, read-only and under its own catalog name, which dbt has written into every view."""
    connection = duckdb.connect(config=engine_settings())
    try:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"attach {quoting.value(str(warehouse))} as {quoting.name(warehouse.stem)} (read_only)")
        connection.execute(f"use {quoting.name(warehouse.stem)}")
        yield connection
    except duckdb.IOException as error:
        if "Could not set lock" not in str(error):
            raise
        raise UserError(f"warehouse {warehouse} is open elsewhere: {str(error).splitlines()[0]}") from None
    finally:
        connection.close()


def _tables(connection) -> dict[str, dict]:
    """`schema.table` of everything published: rows, fingerprint of the contents, checksum of columns and comments."""
    rows = connection.execute(
        """
        select schema_name, table_name, comment from duckdb_tables() where database_name = current_database()
        union all
        select schema_name, view_name, comment from duckdb_views() where database_name = current_database()
        """
    ).fetchall()
    columns = connection.execute(
        """
        select schema_name, table_name, column_name, data_type, comment from duckdb_columns()
        where database_name = current_database() order by column_index
        """
    ).fetchall()
    tables = {}
    for schema, table, comment in sorted(row for row in rows if row[0] in SCHEMAS):
        stamp = gate.fingerprint(connection, quoting.relation(f"{schema}.{table}"))
        shape = [column[2:] for column in columns if column[:2] == (schema, table)]
        tables[f"{schema}.{table}"] = {
            "rows": int(stamp.partition(":")[2]),
            "fingerprint": stamp,
            "shape": hashlib.sha256(repr((comment, shape)).encode()).hexdigest()[:16],
        }
    return tables


def _figures(tables: dict[str, dict]) -> dict[str, dict]:
    return {name: table for name, table in tables.items() if name not in LOGS}


def _about(connection) -> dict[str, str | None]:
    """The instant and the lock the marts stand for."""
    columns = "strftime(max(as_of_at), '%Y-%m-%dT%H:%M:%SZ'), cast(max(lock_date) as varchar)"
    try:
        as_of, lock_date = connection.execute(f"select {columns} from intermediate.int_as_of").fetchone()
    except duckdb.CatalogException:
        as_of, lock_date = (
            None,
            connection.execute(f"select cast(max(lock_date) as varchar) from {gate.INPUTS}").fetchone()[0],
        )
    return {"as_of": as_of, "lock_date": lock_date}


# --- building a release


def _write(connection, draft: Path, manifest: dict, tables: dict[str, dict], before: Release | None) -> None:
    taken_over = _take_over(connection, draft, tables, before) if before else set()
    if not taken_over:
        file, version = quoting.value(str(draft / DATABASE)), quoting.value(STORAGE_VERSION)
        connection.execute(f"attach {file} as _release (storage_version {version})")
    for schema in sorted({name.partition(".")[0] for name in tables}):
        connection.execute(f"create schema if not exists _release.{quoting.name(schema)}")
    for name in sorted(tables.keys() - taken_over):
        relation = quoting.relation(name)
        connection.execute(f"create table _release.{relation} as from {relation}")
    for target, comment in _comments(connection):
        connection.execute(f"comment on {target} is {quoting.value(comment)}")
    connection.execute(
        """
        create table _release.main._release as
        select
          ? as release_id, cast(? as timestamptz) at time zone 'UTC' as published_at, ? as run_id,
          cast(cast(? as timestamptz) at time zone 'UTC' as timestamp) as as_of_at, cast(? as date) as lock_date
        """,
        [manifest[key] for key in ("release_id", "published_at", "run_id", "as_of", "lock_date")],
    )
    connection.execute("checkpoint _release")
    connection.execute("detach _release")


def _take_over(connection, draft: Path, tables: dict[str, dict], before: Release) -> set[str]:
    """Begin the draft's database as a copy of the release before with its large tables, brought up to date row by row;
    returns their names. Where there are none, or the copy cannot be used, nothing is begun."""
    large = {
        name for name, table in before.tables.items()
        if table["rows"] >= LARGE and name in tables and table["shape"] == tables[name]["shape"]
    }  # fmt: skip
    if not large:
        return large
    try:
        shutil.copyfile(before.folder / DATABASE, draft / DATABASE)
        connection.execute(f"attach {quoting.value(str(draft / DATABASE))} as _release")
        held = "select schema_name || '.' || table_name from duckdb_tables() where database_name = '_release'"
        for (name,) in connection.execute(held).fetchall():
            relation = quoting.relation(name)
            if name in large and _bring_up_to_date(connection, relation):
                continue
            connection.execute(f"drop table _release.{relation}")
            large.discard(name)
        if large:
            return large
    except (duckdb.Error, OSError):  # what stands there is worth nothing, and is written anew
        large = set()
    connection.execute("detach database if exists _release")
    (draft / DATABASE).unlink(missing_ok=True)
    return large


def _bring_up_to_date(connection, relation: str) -> bool:
    """Delete from a table of the draft the rows that the warehouse no longer has, insert those it has now.

    False, and nothing is done, where that is a quarter of them or more, or where a row that both have stands in one of
    them more often than in the other.
    """
    connection.execute(
        f"""
        create or replace temp table there as select rowid as place, hash(t) as row_hash from _release.{relation} as t;
        create or replace temp table here as select hash(t) as row_hash from {relation} as t;
        create or replace temp table differing as
        select
          there.place,
          coalesce(there.row_hash, here.row_hash) as row_hash,
          if(there.place is null, 1, -1) as rows
        from there
        full join here on there.row_hash = here.row_hash
        where there.place is null or here.row_hash is null
        """
    )
    changed, rows, is_all = connection.execute(
        """
        select
          differing.changed, here.rows,
          there.rows + differing.rows = here.rows and there.hashes + differing.hashes = here.hashes
        from
          (select count(*) as rows, sum(row_hash) as hashes from there) as there,
          (select count(*) as rows, sum(row_hash) as hashes from here) as here,
          (
            select
              count(*) as changed, coalesce(sum(rows), 0) as rows, coalesce(sum(rows * row_hash::hugeint), 0) as hashes
            from differing
          ) as differing
        """
    ).fetchone()
    if changed * 4 >= rows or not is_all:
        return False
    connection.execute(f"delete from _release.{relation} where rowid in (select place from differing)")
    connection.execute(
        f"""
        insert into _release.{relation}
        select t.* from {relation} as t where hash(t) in (select row_hash from differing where place is null)
        """
    )
    return True


def _comments(connection) -> list[tuple[str, str]]:
    """What to comment on in the release, with the words: a table made from a select has lost them."""
    return connection.execute(
        """
        with commented as (
          select schema_name, table_name, null as column_name, comment from duckdb_tables()
          where database_name = current_database()
          union all
          select schema_name, view_name, null, comment from duckdb_views() where database_name = current_database()
          union all
          select schema_name, table_name, column_name, comment from duckdb_columns()
          where database_name = current_database()
        )
        select
          case when column_name is null then 'table' else 'column' end
            || format(' _release."{}"."{}"', schema_name, table_name) || coalesce(format('."{}"', column_name), ''),
          comment
        from commented
        where comment is not null and schema_name in (select unnest(?))
        """,
        [list(SCHEMAS)],
    ).fetchall()


def _write_parquet(draft: Path, tables: dict[str, dict]) -> None:
    with duckdb.connect(str(draft / DATABASE), read_only=True, config=engine_settings()) as connection:
        for name in tables:
            file = _parquet(draft, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            target = quoting.value(str(file))
            connection.execute(f"copy {quoting.relation(name)} to {target} (format parquet, compression zstd)")


def _parquet(folder: Path, name: str) -> Path:
    schema, _, table = name.partition(".")
    return folder / "parquet" / schema / f"{table}.parquet"


def _verify(draft: Path, tables: dict[str, dict]) -> None:
    """Reopen the draft as a reader does: every row of every table is there, in the database and in its Parquet file."""
    if (draft / f"{DATABASE}.wal").exists():
        raise RuntimeError(f"{DATABASE} was not written out whole: a write-ahead log is left")
    with duckdb.connect(str(draft / DATABASE), read_only=True, config=engine_settings()) as connection:
        for name, table in tables.items():
            found = gate.fingerprint(connection, quoting.relation(name))
            file = quoting.value(str(_parquet(draft, name)))
            rows = connection.execute(f"select count(*) from read_parquet({file})").fetchone()[0]
            if found != table["fingerprint"] or rows != table["rows"]:
                raise RuntimeError(f"release of {name} differs from the warehouse: {found}, not {table['fingerprint']}")


def _seal(draft: Path) -> None:
    """Read-only, and on the disk before anything points at it."""
    for path in sorted(draft.rglob("*"), reverse=True):
        if path.is_file():
            path.chmod(0o444)
        _sync(path)
    _sync(draft)


def _point(root: Path, release_id: str) -> None:
    link = root / f".current-{release_id}"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("releases") / release_id)
    os.replace(link, root / "current")
    _sync(root / "releases")
    _sync(root)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _whole_or_nothing(root: Path, draft: Path | None = None) -> Iterator[None]:
    """Leave no draft behind on any failure; a full disk is one line that says what is still served."""
    try:
        yield
    except BaseException as error:
        if draft:
            shutil.rmtree(draft, ignore_errors=True)
        is_full = getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error)
        if not is_full:
            raise
        current = _current(root)
        still = f"release {current} is still served" if current else "nothing is served yet"
        raise UserError(
            f"the disk of {root} is full, so nothing was published; {still}; free some space and publish again"
        ) from None


def _sweep_leftovers(root: Path) -> None:
    for path in (*root.iterdir(), *(root / "releases").iterdir()):
        if path.name.startswith(LEFTOVER):
            path.unlink() if path.is_symlink() else shutil.rmtree(path)


def _sweep_old(root: Path, keep: int, spared: set[str]) -> None:
    """Keep the newest `keep` that nobody withdrew, the withdrawn among the newest `keep` of all, and `spared`: what is
    served, and what was served until now, which may be an old one that somebody rolled back to."""
    names = sorted((path.name for path in (root / "releases").iterdir() if path.is_dir()), reverse=True)
    standing = [name for name in names if not _withdrawn_mark(root, name).exists()]
    for name in set(names) - set(standing[:keep]) - set(names[:keep]) - spared:
        folder = root / "releases" / name
        os.rename(folder, folder.with_name(f".tmp-{name}"))  # a kill half way leaves a leftover, never half a release
        shutil.rmtree(folder.with_name(f".tmp-{name}"))
        _withdrawn_mark(root, name).unlink(missing_ok=True)


def _current(root: Path) -> str | None:
    """The id that `current` points at; None where it points at no whole release."""
    link = root / "current"
    return Path(os.readlink(link)).name if link.is_symlink() and (link / MANIFEST).is_file() else None


def _read(root: Path, name: str, current: str | None) -> Release:
    folder = root / "releases" / name
    manifest = json.loads((folder / MANIFEST).read_text())
    lock_date = manifest["lock_date"]
    return Release(
        name, folder, manifest["published_at"], manifest["run_id"], manifest["as_of"],
        dt.date.fromisoformat(lock_date) if lock_date else None, manifest["tables"], name == current,
        _withdrawn_mark(root, name).exists(),
    )  # fmt: skip


def _withdrawn_mark(root: Path, name: str) -> Path:
    return root / "releases" / f"{name}.withdrawn"


def _new_id(root: Path) -> str:
    """UTC to the microsecond, so that the order of names is the order of time."""
    newest = max((path.name for path in (root / "releases").iterdir() if path.is_dir()), default="")
    release_id = f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%fZ}"
    if release_id <= newest:
        raise UserError(f"release {newest} is from the future; set this machine's clock right before publishing")
    return release_id
