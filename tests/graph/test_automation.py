"""What starts runs and what is told when one fails: schedules, sensor, retries, freshness and hook are made to act."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from dagster_project.settings import PROJECT_ROOT, UserError

# Dagster reads the fields of a resource by pydantic's old name
pytestmark = pytest.mark.filterwarnings("ignore:The `__fields__` attribute:DeprecationWarning")

A_MONDAY = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def own_folder(defs, tmp_path, monkeypatch):
    """The definitions stand; runs and sensors go to a folder of the test's own."""
    monkeypatch.setenv("WAREHOUSE_PATH", str(tmp_path / "warehouse.duckdb"))
    monkeypatch.setenv("WAREHOUSE_PUBLISHED", str(tmp_path / "published"))
    for name in ("WAREHOUSE_SOURCES", "WAREHOUSE_FILES", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


# --- schedules


@pytest.mark.parametrize(
    ("job", "hours"),
    [
        ("daily_refresh", ["2026-03-02 05:00", "2026-03-03 05:00"]),
        ("weekly_forecast_lock", ["2026-03-02 06:00", "2026-03-09 06:00"]),
        ("monthly_people_review", ["2026-04-01 07:00", "2026-05-01 07:00"]),
    ],
)
def test_schedule_asks_for_its_job_at_its_hours(defs, job, hours):
    import dagster as dg
    from dagster._utils.schedules import schedule_execution_time_iterator

    [schedule] = [schedule for schedule in defs.schedules if schedule.job_name == job]
    ticks = schedule_execution_time_iterator(A_MONDAY.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
    assert [f"{next(ticks):%Y-%m-%d %H:%M}" for _ in hours] == hours
    with dg.build_schedule_context(scheduled_execution_time=A_MONDAY) as context:
        assert len(schedule.evaluate_tick(context).run_requests) == 1
    assert defs.resolve_job_def(job).name == job


# --- the watch over the files folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "exports"
    folder.mkdir()
    monkeypatch.setenv("WAREHOUSE_SOURCES", "files")
    monkeypatch.setenv("WAREHOUSE_FILES", str(folder))
    return folder


class Watcher:
    """The sensor with its cursor, asked at moments (seconds) of the test's choosing."""

    def __init__(self, monkeypatch) -> None:
        self.cursor, self.monkeypatch = None, monkeypatch

    def ask(self, at: float) -> str:
        """The run key asked for, or the reason why none is."""
        import dagster as dg

        from dagster_project.defs import automation

        self.monkeypatch.setattr(automation.time, "time", lambda: at)
        with dg.build_sensor_context(cursor=self.cursor) as context:
            result = automation.new_files(context)
        if isinstance(result, dg.SkipReason):
            return result.skip_message
        self.cursor = result.cursor
        return result.run_requests[0].run_key if result.run_requests else result.skip_reason.skip_message


@pytest.fixture
def watcher(monkeypatch) -> Watcher:
    return Watcher(monkeypatch)


def test_sensor_says_that_the_source_is_off(watcher):
    assert "WAREHOUSE_SOURCES" in watcher.ask(0)


def test_sensor_asks_once_for_each_change(watcher, folder):
    (folder / "deals.csv").write_text("a")
    assert "waiting" in watcher.ask(0)
    first = watcher.ask(30)
    assert first.startswith("files-1-")
    assert watcher.ask(60) == "no file changed"

    (folder / "deals.csv").write_text("b, longer")
    assert "waiting" in watcher.ask(90)
    assert watcher.ask(120).startswith("files-2-")

    (folder / "deals.csv").unlink()
    assert "waiting" in watcher.ask(150)
    assert watcher.ask(180).startswith("files-3-")


def test_sensor_asks_again_for_what_was_there_before(watcher, folder):
    keys = []
    for at, content in ((0, "a"), (100, "bb"), (200, "a")):
        (folder / "deals.csv").write_text(content)
        watcher.ask(at)
        keys.append(watcher.ask(at + 30))
    assert len(set(keys)) == 3, "a run key that was used before starts nothing"


def test_sensor_leaves_a_file_that_is_still_written(watcher, folder):
    file = folder / "deals.csv"
    for at in (0, 30, 60):
        with file.open("a") as growing:
            growing.write("one more row\n")
        assert "waiting" in watcher.ask(at)
    assert "waiting" in watcher.ask(61), "a second without change is not whole yet"
    assert watcher.ask(75).startswith("files-1-")


def test_sensor_looks_at_content_not_at_dates(watcher, folder):
    file = folder / "deals.csv"
    file.write_text("a")
    watcher.ask(0)
    watcher.ask(30)
    os.utime(file, (1, 1))
    watcher.ask(60)
    assert "content is the same" in watcher.ask(90)
    assert watcher.ask(120) == "no file changed"


def test_sensor_sees_files_in_folders_and_not_the_hidden(watcher, folder):
    (folder / ".partial").write_text("a")
    assert watcher.ask(0) == "no file changed"
    (folder / "june").mkdir()
    (folder / "june" / "deals.csv").write_text("a")
    watcher.ask(30)
    assert watcher.ask(60).startswith("files-1-")


# --- a step that fails


def run(defs, monkeypatch, open_sources):
    from dagster_project.defs import ingest

    monkeypatch.setattr(ingest, "open_sources", open_sources)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return defs.resolve_job_def("daily_refresh").execute_in_process(raise_on_error=False, run_config=quiet)


def test_passing_fault_is_tried_again(defs, monkeypatch):
    tries = []

    def stumbles_once(settings):
        tries.append(settings)
        if len(tries) == 1:
            raise OSError("the disk was busy")
        return []

    result = run(defs, monkeypatch, stumbles_once)
    assert len(tries) == 2
    assert next(iter(result.get_step_success_events())).step_key == "ingest"


def test_users_mistake_is_one_line_and_not_tried_again(defs, monkeypatch, tmp_path):
    tries = []

    def refuses(settings):
        tries.append(settings)
        raise UserError("mapping.yml: no column 'stgae' (did you mean 'stage'?)")

    result = run(defs, monkeypatch, refuses)
    [failure] = result.get_step_failure_events()
    assert len(tries) == 1
    assert failure.step_failure_data.user_failure_data.description.count("\n") == 0
    assert not [event for event in result.all_events if event.step_key not in (None, "ingest") and event.is_step_start]
    page = (tmp_path / "published" / "status" / "index.html").read_text()
    assert "did you mean" in page, "readers are told why what is published is old"


# --- lateness


@pytest.mark.parametrize(("hours", "state"), [(24, "PASS"), (30, "WARN"), (60, "FAIL")])
@pytest.mark.parametrize("asset", ["raw_salesforce/opportunity", "core/fct_opportunities", "published/marts"])
def test_late_asset_is_told(graph, asset, hours, state):
    import dagster as dg
    from dagster._core.definitions.freshness_evaluator import TimeWindowFreshnessPolicyEvaluator
    from dagster._core.loader import LoadingContextForTest
    from dagster._core.test_utils import freeze_time

    key = dg.AssetKey(asset.split("/"))
    with dg.DagsterInstance.ephemeral() as instance:
        with freeze_time(A_MONDAY):
            instance.report_runless_asset_event(dg.AssetMaterialization(key))
        with freeze_time(A_MONDAY + dt.timedelta(hours=hours)):
            evaluated = TimeWindowFreshnessPolicyEvaluator().evaluate_freshness(
                LoadingContextForTest(instance), graph.get(key)
            )
            assert asyncio.run(evaluated).value == state


# --- webserver and daemon


QUESTION = """{
  repositoriesOrError { ... on RepositoryConnection { nodes { location { name } jobs { name } } } }
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
}"""


def test_webserver_and_daemon_come_up_with_the_workspace_and_go_down_together(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path / "dev.log").open("w+")
    command = [sys.executable, "-m", "dagster_project", "dev", "--port", str(port)]
    dev = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=log, stderr=subprocess.STDOUT)
    try:
        answer = wait_until_all_is_well(port, log, seconds=240)
        [repository] = answer["repositoriesOrError"]["nodes"]
        assert repository["location"]["name"] == "sales_management"
        assert "daily_refresh" in {job["name"] for job in repository["jobs"]}
    finally:
        dev.terminate()
        dev.wait(timeout=60)
        log.close()
    with pytest.raises(urllib.error.URLError):
        ask(port)


def wait_until_all_is_well(port: int, log, seconds: float) -> dict:
    """The webserver's answer once the code location is loaded and every daemon it needs has reported."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(1)
        try:
            answer = ask(port)
        except OSError:
            continue
        is_loaded = bool(answer["repositoriesOrError"].get("nodes"))
        daemons = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
        if is_loaded and all(each["healthy"] for each in daemons if each["required"]):
            return answer
    log.seek(0)
    raise AssertionError(f"not up after {seconds} s:\n{log.read()}")


def ask(port: int) -> dict:
    body = json.dumps({"query": QUESTION}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)["data"]
