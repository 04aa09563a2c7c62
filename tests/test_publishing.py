"""Publishing: a release is whole or not there, readers never see two at once, and one can go back."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

from dagster_project import gate, publishing, warehouse
from dagster_project.settings import UserError
from tests.hand_made import make, query, set_deals, settings_in


def passed(settings):
    """Write the verdict that the gate would, without the gate."""
    with warehouse.connect(settings.warehouse) as connection:
        stamp = gate.fingerprint(connection, gate.INPUTS)
        gate.record(connection, "run", gate.FORECAST_INPUTS, [], fingerprint=stamp)
    return settings


def change(settings, number: int):
    """Another state of the company: `number` in two tables of the set."""
    with warehouse.connect(settings.warehouse) as connection:
        for table in ("core.first", "team.second"):
            connection.execute(f"create schema if not exists {table.partition('.')[0]}")
            connection.execute(f"create or replace table {table} as select {number} as number from range(1000)")
    return settings


def publish(settings, number: int, **arguments):
    return publishing.publish(change(settings, number), **arguments)


@pytest.fixture
def settings(tmp_path):
    return passed(make(settings_in(tmp_path), [{}, {}]))


def numbers(settings) -> set[int]:
    with duckdb.connect(str(publishing.current_marts(settings)), read_only=True) as connection:
        return {
            value
            for (value,) in connection.execute(
                "select number from core.first union select number from team.second"
            ).fetchall()
        }


def names(settings) -> set[str]:
    return set(os.listdir(settings.published / "releases"))


# --- what a release is


def test_a_release_holds_the_marts_and_nothing_else(settings):
    release = publish(settings, 1, run_id="run 1")
    database = settings.published / "current" / "marts.duckdb"
    with duckdb.connect(str(database), read_only=True) as connection:
        schemas = {
            name for (name,) in connection.execute("select distinct schema_name from duckdb_tables()").fetchall()
        }
        assert schemas == {"core", "forecast", "team", "main"}
        assert connection.execute("select current_database()").fetchone() == ("marts",)
        assert connection.execute("select rep_name from core.active_reps").fetchone() == ("Ann",)
        [row] = connection.execute(
            "select release_id, run_id, cast(as_of_at as varchar), cast(lock_date as varchar) from _release"
        ).fetchall()
        assert row == (release.id, "run 1", "2025-06-30 12:00:00", "2025-06-29")
    manifest = json.loads((release.folder / "manifest.json").read_text())
    assert manifest["tables"]["core.first"]["rows"] == 1000 and manifest["as_of"] == "2025-06-30T12:00:00Z"
    assert {f"{path.parent.name}.{path.stem}" for path in release.folder.rglob("*.parquet")} == set(manifest["tables"])


def test_comments_survive_on_tables_and_on_the_columns_of_views(settings):
    publish(settings, 1)
    with duckdb.connect(str(publishing.current_marts(settings)), read_only=True) as connection:
        about = "select comment from duckdb_tables() where table_name = 'dim_reps'"
        assert connection.execute(about).fetchone() == ("One row per rep's assignment",)
        about = "select comment from duckdb_columns() where comment is not null order by 1"
        assert connection.execute(about).fetchall() == [("Her or his name",), ("The rep",)]


def test_a_release_is_read_only_and_in_the_format_that_bi_drivers_read(settings):
    release = publish(settings, 1)
    files = [path for path in release.folder.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o444}
    header = (release.folder / "marts.duckdb").read_bytes()[:64]
    assert header[8:12] == b"DUCK" and int.from_bytes(header[12:20], "little") == 64  # 64: storage version v1.0.0


def test_a_warehouse_of_any_file_name_can_be_published(tmp_path):
    settings = settings_in(tmp_path)
    moved = type(settings)(warehouse=tmp_path / "marts.duckdb", published=settings.published)
    with warehouse.connect(moved.warehouse) as connection:
        warehouse.prepare(connection)
        connection.execute(
            "create table forecast.inputs as "
            "select 'd' as opportunity_id, date '2025-06-29' as lock_date, 1.0 as amount_base"
        )
        connection.execute("create schema core; create view core.v as select * from marts.forecast.inputs")
    passed(moved)
    assert publish(moved, 1).tables["core.v"]["rows"] == 1
    assert names(moved) == {publishing.served(moved).id}


# --- when it is refused


def test_nothing_is_published_without_a_passed_gate(tmp_path):
    settings = make(settings_in(tmp_path), [{}])
    with pytest.raises(UserError, match="never judged"):
        publishing.publish(settings)
    assert publishing.served(settings) is None and names(settings) == set()


def test_inputs_changed_after_the_verdict_are_not_published(settings):
    first = publish(settings, 1)
    set_deals(settings, [{}])
    with pytest.raises(UserError, match="changed after the gate passed"):
        publish(settings, 2)
    assert publishing.served(settings).id == first.id and numbers(settings) == {1}


def test_a_rerun_with_nothing_new_keeps_the_release_and_a_new_comment_does_not(settings):
    first = publish(settings, 1)
    passed(settings)  # another run judged the same inputs: only the gate's log grew
    assert publish(settings, 1).id == first.id
    with warehouse.connect(settings.warehouse) as connection:
        connection.execute("comment on column core.first.number is 'What changed'")
    assert publishing.publish(settings).id > first.id


# --- keeping and going back


def test_the_newest_are_kept(settings):
    ids = [publish(settings, number, keep=2).id for number in range(4)]
    assert names(settings) == set(ids[2:])
    assert [release.id for release in publishing.releases(settings)] == ids[:1:-1]


def test_roll_back_serves_the_one_before_and_says_so(settings):
    first, second = publish(settings, 1), publish(settings, 2)
    back = publishing.roll_back(settings)
    assert back.id == first.id and back.is_current and numbers(settings) == {1}
    assert publishing.releases(settings)[0].is_withdrawn
    assert publishing.roll_back(settings, second.id).id == second.id
    assert numbers(settings) == {2} and not publishing.served(settings).is_withdrawn


def test_roll_back_passes_over_what_was_withdrawn(settings):
    first = publish(settings, 1)
    publish(settings, 2)
    publishing.roll_back(settings)
    publish(settings, 3)
    assert publishing.roll_back(settings).id == first.id


def test_the_release_rolled_back_to_outlives_the_next_publish(settings):
    ids = [publish(settings, number, keep=2).id for number in range(2)]
    publishing.roll_back(settings, ids[0])
    third = publish(settings, 7, keep=2).id
    assert {ids[0], third} <= names(settings)
    assert publishing.roll_back(settings).id == ids[0]


def test_roll_back_names_what_there_is(settings):
    with pytest.raises(UserError, match="nothing to roll back to"):
        publishing.roll_back(settings)
    only = publish(settings, 1)
    with pytest.raises(UserError, match="nothing to roll back to"):
        publishing.roll_back(settings)
    with pytest.raises(UserError, match=f"did you mean '{only.id}'"):
        publishing.roll_back(settings, only.id[:-2])


# --- faults

PUBLISH = """
import sys
from pathlib import Path
from dagster_project import publishing
from dagster_project.settings import Settings
publishing.publish(Settings(warehouse=Path(sys.argv[1]), published=Path(sys.argv[2])))
"""


def publish_elsewhere(settings) -> subprocess.Popen:
    command = [sys.executable, "-c", PUBLISH, str(settings.warehouse), str(settings.published)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.getcwd()})


def test_killed_at_any_point_the_served_release_stays_whole_and_the_next_publish_sweeps(settings):
    publish(settings, 1)
    change(settings, 2)
    started = time.monotonic()
    assert publish_elsewhere(settings).wait() == 0
    whole = time.monotonic() - started
    served, kills = 2, 0
    for number in range(3, 10):
        change(settings, number)
        process = publish_elsewhere(settings)
        time.sleep(random.uniform(0.4, 1.05) * whole)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        [seen] = numbers(settings)
        assert seen in (served, number)
        served = seen
    publish(settings, 99)
    assert kills and numbers(settings) == {99}
    assert not [name for name in (*names(settings), *os.listdir(settings.published)) if name.startswith(".")]


def test_readers_never_see_two_releases_at_once(settings):
    publish(settings, 0)
    stop, mixed, read, errors = threading.Event(), [], [0], []

    def reader():
        while not stop.is_set():
            try:
                seen = numbers(settings)
                read[0] += 1
                if len(seen) != 1:
                    mixed.append(seen)
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=reader) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 6):
        publish(settings, number)
    stop.set()
    for thread in threads:
        thread.join()
    assert read[0] > 10 and not mixed and not errors


def test_a_reader_of_an_old_release_does_not_stop_a_publish(settings):
    publish(settings, 1)
    with duckdb.connect(str(publishing.current_marts(settings)), read_only=True) as connection:
        for number in range(2, 5):
            publish(settings, number, keep=1)
        assert connection.execute("select max(number) from core.first").fetchone() == (1,)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB; where this user may not mount one, the test says so."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        not mount
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("cannot mount a small file system here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_line_and_leaves_what_was_served(settings, small_disk):
    small = type(settings)(warehouse=settings.warehouse, published=small_disk)
    first = publish(small, 1)
    with warehouse.connect(small.warehouse) as connection:
        connection.execute("create table core.large as select hash(i) as h, hash(i + 1) as g from range(1000000) t(i)")
    with pytest.raises(UserError, match=f"disk of .* is full.*release {first.id} is still served") as caught:
        publish(small, 2)
    assert "\n" not in str(caught.value)
    assert names(small) == {first.id} and numbers(small) == {1}


def test_a_full_disk_is_told_even_where_none_can_be_mounted(settings, monkeypatch):
    first = publish(settings, 1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publishing, "_seal", full)
    with pytest.raises(UserError, match=f"release {first.id} is still served"):
        publish(settings, 2)
    assert names(settings) == {first.id}


def test_a_release_that_differs_from_the_warehouse_is_never_served(settings, monkeypatch):
    first = publish(settings, 1)
    written = publishing._write

    def short(connection, draft: Path, *rest):
        written(connection, draft, *rest)
        with duckdb.connect(str(draft / "marts.duckdb")) as release:
            release.execute("delete from core.first where rowid = 0")

    monkeypatch.setattr(publishing, "_write", short)
    with pytest.raises(RuntimeError, match=r"core\.first differs from the warehouse"):
        publish(settings, 2)
    assert names(settings) == {first.id} and query(settings, "select 1") == [(1,)]


# --- large tables

OTHER_NUMBERS = "create or replace table core.first as select n::integer as number from range(1000) as t (n)"


@pytest.fixture
def taken_over(monkeypatch) -> list[tuple[str, bool]]:
    """From 500 rows a table is large: each one there is to take over, and whether it was."""
    done, really = [], publishing._bring_up_to_date

    def told(connection, relation):
        is_done = really(connection, relation)
        done.append((relation.replace('"', ""), is_done))
        return is_done

    monkeypatch.setattr(publishing, "LARGE", 500)
    monkeypatch.setattr(publishing, "_bring_up_to_date", told)
    return done


def publish_after(settings, *statements: str):
    with warehouse.connect(settings.warehouse) as connection:
        for statement in statements:
            connection.execute(statement)
    release = publishing.publish(settings)
    expected = duckdb.sql(f"from read_parquet('{release.folder}/parquet/core/first.parquet')").fetchall()
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        assert sorted(connection.execute("from core.first").fetchall()) == sorted(expected)
    assert sorted(query(settings, "from core.first")) == sorted(expected)
    return release


def test_of_a_large_table_only_what_changed_is_written(settings, taken_over):
    publish(settings, 1)
    publish_after(settings, OTHER_NUMBERS)
    assert taken_over == [("core.first", False), ("team.second", True)], "the first one changed too much"
    taken_over.clear()
    publish_after(settings, "insert into core.first values (2000), (2001)", "delete from core.first where number < 7",
                  "update core.first set number = -1 where number = 500")  # fmt: skip
    assert taken_over == [("core.first", True), ("team.second", True)]
    with duckdb.connect(str(publishing.current_marts(settings)), read_only=True) as connection:
        ids = connection.execute("select release_id from _release").fetchall()
    assert ids == [(publishing.served(settings).id,)], "nothing else of the release before is left"


def test_rows_that_are_twice_there_and_columns_that_change_are_written_anew(settings, taken_over):
    publish(settings, 1)
    publish_after(settings, OTHER_NUMBERS)
    publish_after(settings, "insert into core.first values (7)")
    publish_after(settings, "delete from core.first where number = 7", "insert into core.first values (7)")
    publish_after(settings, "alter table core.first add column other varchar")
    assert [done for name, done in taken_over if name == "core.first"] == [False] * 3


def test_a_damaged_release_before_is_not_taken_over(settings, taken_over):
    database = publish(settings, 1).folder / "marts.duckdb"
    database.chmod(0o644)
    database.write_bytes(database.read_bytes()[:5000])
    publish_after(settings, "insert into core.first values (2000)")
    assert taken_over == []
