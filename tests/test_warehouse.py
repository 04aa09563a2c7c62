"""The door to the DuckDB file: what it says when it cannot open, what always stands behind it, one run at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from dagster_project import warehouse
from dagster_project.forecast.shapes import TABLES
from dagster_project.settings import PROJECT_ROOT, UserError
from dagster_project.warehouse import ALL_TABLES, STAMPS, connect, prepare, run_lock


def python(code: str, *arguments: object, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@contextmanager
def ended(process: subprocess.Popen):
    """However the test ends, so does the process."""
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def small_disk(folder: Path, size: str):
    """A file system of its own, where the machine lets us make one."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if made.returncode:
        pytest.skip(f"cannot mount a small disk: {made.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def refusal(path: Path, read_only: bool = False, use: str = "select 1") -> str:
    with pytest.raises(UserError) as error, connect(path, read_only) as connection:
        connection.execute(use)
    line = str(error.value)
    assert "\n" not in line and str(path) in line
    return line


# Opening


def test_a_first_connection_makes_the_folder_and_speaks_utc(tmp_path):
    with connect(tmp_path / "new" / "folder" / "w.duckdb") as connection:
        zone, installs = connection.execute(
            "select current_setting('TimeZone'), current_setting('autoinstall_known_extensions')"
        ).fetchone()
    assert (zone, installs) == ("UTC", False)


def test_the_file_is_closed_after_the_block_also_when_it_fails(warehouse_path):
    with pytest.raises(ZeroDivisionError), connect(warehouse_path):
        raise ZeroDivisionError
    with connect(warehouse_path, read_only=True) as connection:
        assert connection.execute("select 1").fetchall() == [(1,)]


def test_an_error_in_the_sql_stays_what_it_is(warehouse_path):
    with pytest.raises(duckdb.CatalogException), connect(warehouse_path) as connection:
        connection.execute("from nowhere")


def test_trouble_with_another_file_is_not_put_on_the_warehouse(warehouse_path, tmp_path):
    with pytest.raises(duckdb.IOException), connect(warehouse_path) as connection:
        connection.execute(f"from read_csv('{tmp_path}/no/export.csv')")
    with pytest.raises(PermissionError), connect(warehouse_path):
        raise PermissionError(13, "Permission denied", "export.csv")


def test_a_missing_file_is_not_made_by_a_reader(warehouse_path, tmp_path):
    assert "is not there yet; run the pipeline" in refusal(warehouse_path, read_only=True)
    assert not warehouse_path.exists()
    assert "is not there yet" in refusal(tmp_path / "no" / "w.duckdb", read_only=True)


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_called_damaged_and_left_alone(warehouse_path, share):
    with connect(warehouse_path) as connection:
        connection.execute("create table t as select range as i, hash(range) as h from range(100000)")
    whole = warehouse_path.read_bytes()
    warehouse_path.write_bytes(whole[: int(len(whole) * share)])
    before = warehouse_path.read_bytes()
    assert "is damaged or not DuckDB; put a backup" in refusal(warehouse_path, use="select sum(h) from t")
    assert warehouse_path.read_bytes() == before


def test_a_file_of_something_else_is_called_so(warehouse_path):
    warehouse_path.write_bytes(b"PAR1" * 5000)
    assert "not DuckDB" in refusal(warehouse_path)


def test_a_folder_and_a_path_below_a_file_are_called_so(tmp_path):
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "file").touch()
    assert "under something that is a file" in refusal(tmp_path / "file" / "w.duckdb")


def test_a_folder_that_cannot_be_written_is_called_so(tmp_path):
    with small_disk(tmp_path / "disk", "4m"):
        subprocess.run(["mount", "-o", "remount,ro", tmp_path / "disk"], check=True)
        assert "give this user the right" in refusal(tmp_path / "disk" / "w.duckdb")
        with pytest.raises(UserError, match="lock file"), run_lock(tmp_path / "disk" / "w.duckdb", "test"):
            pass


def test_a_full_disk_is_called_so_and_what_was_committed_stays(tmp_path):
    with small_disk(tmp_path / "disk", "6m"):
        path = tmp_path / "disk" / "w.duckdb"
        with connect(path) as connection:
            connection.execute("create table kept as select 1 as i")
        growing = "create table t as select range as i, hash(range) as h from range(5000000)"
        assert "the disk is full; free some space" in refusal(path, use=growing)
        with connect(path) as connection:
            assert connection.execute("from kept").fetchall() == [(1,)]


HOLD_FILE = """
import sys, time
from dagster_project.warehouse import connect
with connect(sys.argv[1]):
    print("open", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_held_by_another_process_names_it(warehouse_path, read_only):
    with ended(python(HOLD_FILE, warehouse_path)) as holder:
        assert holder.stdout.readline() == "open\n"
        assert f"is in use by process {holder.pid} (" in refusal(warehouse_path, read_only)


# What always stands


def test_every_lasting_table_exists_typed_empty_and_described(warehouse_path):
    with connect(warehouse_path) as connection:
        prepare(connection)
        for table in ALL_TABLES:
            described = {name: kind for name, kind, *_ in connection.execute(f"describe {table.relation}").fetchall()}
            assert described == table.columns | STAMPS
            assert list(described) == [*table.columns, *STAMPS]
        comments = dict(
            connection.execute("select schema_name || '.' || table_name, comment from duckdb_tables()").fetchall()
        )
    assert {table.relation: table.about for table in ALL_TABLES}.items() <= comments.items()
    schemas = {table.schema for table in ALL_TABLES}
    logs = {f"{schema}.{name}" for schema in schemas for name in ("loads", "rejected_rows")}
    lasting = {"ops.active_sources", "forecast.gate", "forecast.gate_failing_rows", "intermediate.lever_intervals"}
    locks = {f"archive.{name}" for name in ("locks", "locked_inputs", "locked_calls", "locked_progress", *TABLES)}
    assert comments.keys() == {table.relation for table in ALL_TABLES} | logs | lasting | locks
    assert all(comments.values())


def test_preparing_again_changes_nothing(warehouse_path):
    with connect(warehouse_path) as connection:
        prepare(connection)
        connection.execute("insert into forecast.gate (run_id) values ('kept')")
    before = warehouse_path.read_bytes()
    with connect(warehouse_path) as connection:
        prepare(connection)
        assert connection.execute("select run_id from forecast.gate").fetchall() == [("kept",)]
    assert warehouse_path.read_bytes() == before


def test_a_shape_that_grew_gains_its_column_and_keeps_its_rows(warehouse_path, monkeypatch):
    table = ALL_TABLES[0]
    with connect(warehouse_path) as connection:
        prepare(connection)
        connection.execute(
            f"insert into {table.relation} by name select '1' as \"Id\", 1 as _load_id, 7::ubigint as _row_hash"
        )
        grown = replace(table, columns=table.columns | {"Nickname__c": "VARCHAR"}, about="Grown, it's said")
        monkeypatch.setattr(warehouse, "ALL_TABLES", (grown, *ALL_TABLES[1:]))
        prepare(connection)
        [(same,)] = connection.execute(
            f'select "Nickname__c" is null and _row_hash = {warehouse.row_hash(grown)} from {table.relation}'
        ).fetchall()
        assert same
        comment = "select comment from duckdb_tables() where schema_name || '.' || table_name = ?"
        assert connection.execute(comment, [table.relation]).fetchone() == ("Grown, it's said",)


def test_a_preparation_that_fails_leaves_nothing(warehouse_path, monkeypatch):
    broken = replace(ALL_TABLES[-1], columns={"x": "NO_SUCH_TYPE"})
    monkeypatch.setattr(warehouse, "ALL_TABLES", (*ALL_TABLES[:-1], broken))
    with connect(warehouse_path) as connection:
        with pytest.raises(duckdb.Error):
            prepare(connection)
        assert connection.execute("select count(*) from duckdb_tables()").fetchone() == (0,)


# One run at a time

HOLD_LOCK = """
import sys, time
from dagster_project.warehouse import run_lock
with run_lock(sys.argv[1], sys.argv[2], say=lambda line: print(line, flush=True)):
    print("in", flush=True)
    sys.stdin.readline()
print("out", flush=True)
"""


def test_a_second_run_waits_names_the_first_once_and_goes_on(warehouse_path):
    with ended(python(HOLD_LOCK, warehouse_path, "daily run", stdin=subprocess.PIPE)) as first:
        assert first.stdout.readline() == "in\n"
        with ended(python(HOLD_LOCK, warehouse_path, "second run", stdin=subprocess.PIPE)) as second:
            assert second.stdout.readline().startswith(f"waiting for daily run (pid {first.pid}, since 20")
            time.sleep(0.5)
            assert second.poll() is None
            first.stdin.write("go\n")
            first.stdin.flush()
            assert second.stdout.readline() == "in\n", "one line of waiting, then in"


def test_a_killed_run_leaves_the_lock_open_and_its_text_is_harmless(warehouse_path):
    with ended(python(HOLD_LOCK, warehouse_path, "killed run", stdin=subprocess.PIPE)) as killed:
        assert killed.stdout.readline() == "in\n"
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    lock = Path(f"{warehouse_path}.lock")
    assert json.loads(lock.read_text())["purpose"] == "killed run"
    said: list[str] = []
    with run_lock(warehouse_path, "next run", say=said.append):
        assert json.loads(lock.read_text()) | {"since": ""} == {"pid": os.getpid(), "purpose": "next run", "since": ""}
    assert not said
    assert lock.exists()


def test_who_will_not_wait_is_told_who_has_it(warehouse_path):
    with ended(python(HOLD_LOCK, warehouse_path, "daily run", stdin=subprocess.PIPE)) as holder:
        assert holder.stdout.readline() == "in\n"
        with (
            pytest.raises(UserError, match=rf"in use by daily run \(pid {holder.pid}, since"),
            run_lock(warehouse_path, "impatient", wait=False),
        ):
            pass


def test_a_lock_without_a_readable_text_still_makes_wait(warehouse_path):
    with ended(python(HOLD_LOCK, warehouse_path, "daily run", stdin=subprocess.PIPE)) as holder:
        assert holder.stdout.readline() == "in\n"
        Path(f"{warehouse_path}.lock").write_text("[1")
        with pytest.raises(UserError, match="in use by another run"), run_lock(warehouse_path, "x", wait=False):
            pass


def test_the_lock_is_re_entrant_in_one_process_and_let_go_only_by_the_outermost(warehouse_path):
    attempt = f"""
from dagster_project.warehouse import run_lock
with run_lock({str(warehouse_path)!r}, "other", wait=False): pass
"""
    with run_lock(warehouse_path, "outer"):
        with run_lock(warehouse_path, "inner"):
            pass
        with ended(python(attempt)) as other:
            assert "in use by outer" in other.communicate()[1]
    with ended(python(attempt)) as other:
        assert other.communicate()[1] == "" and other.returncode == 0


def test_the_lock_is_let_go_when_the_block_fails(warehouse_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), run_lock(warehouse_path, "failing", wait=False):
            raise ZeroDivisionError
