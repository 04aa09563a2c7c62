"""The Gong connector against an emulated company: windows, pages, late context, faults; what was said only if asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from dagster_project.settings import UserError
from dagster_project.sources.api import QuotaExhausted, Secret, Unavailable
from dagster_project.sources.demo import DemoSource
from dagster_project.sources.erasure import erase_person
from dagster_project.sources.gong.access import GongAccess
from dagster_project.sources.gong.shapes import TABLES
from dagster_project.sources.gong.source import GongSource
from dagster_project.warehouse import connect
from tests.emulators import gong
from tests.sources.pulls import Warehouse, contents, landed, violations

CALLS, TRANSCRIPTS = "POST /v2/calls/extensive", "POST /v2/calls/transcript"


@pytest.fixture(scope="module")
def company_folder(tmp_path_factory) -> Path:
    return DemoSource("tiny", 42, cache=tmp_path_factory.mktemp("demo")).prepare()


@pytest.fixture
def emulator(company_folder):
    """The server and the company behind it, ten calls a page."""
    with gong.recorder(company_folder) as (server, recorder):
        recorder.page = 10
        yield server, recorder


def spoken(recorder: gong.Recorder) -> list[str]:
    """Gives the first call and the last one trackers and a transcript; their ids."""
    every = recorder.rows(f"select id from {recorder.present('call')} order by started, id")
    first, last = every[0]["id"], every[-1]["id"]
    trackers = [(first, "71", "Competitors", "SMART", 2), (first, "72", "Discount", "KEYWORD", 0),
                (last, "71", "Competitors", "SMART", 1)]  # fmt: skip
    sentences = [
        (first, 1, "11", "Pricing", 0, 900, "What does it cost?"),
        (first, 2, "12", "Pricing", 900, 1500, "It depends."),
        (first, 3, "12", "Pricing", 1500, 2200, "On what?"),
        (last, 1, "11", None, 0, 400, "Hello."),
    ]
    for name, rows in (("call_tracker", trackers), ("call_transcript", sentences)):
        for row in rows:
            marks = ", ".join("?" * (len(row) + 1))
            recorder.connection.execute(f"insert into versions_{name} values ({marks})", [*row, recorder.clock])
        recorder.forget(name)
    return [first, last]


class Puller:
    """Makes sources over one folder, as run after run does; `said` and `waits` are what they told and waited for."""

    def __init__(self, url: str, folder: Path) -> None:
        self.access = GongAccess(url, gong.KEY, Secret(gong.SECRET), since=date(2024, 6, 1))
        self.folder, self.said, self.waits = folder / "pulls" / "gong", [], []

    def source(self) -> GongSource:
        return GongSource(self.access, self.folder, self.said.append, self.waits.append)


@pytest.fixture
def puller(emulator, tmp_path) -> Puller:
    return Puller(emulator[0].url, tmp_path)


@pytest.fixture(scope="module")
def undisturbed(company_folder, tmp_path_factory) -> dict[str, list[tuple]]:
    with gong.recorder(company_folder) as (server, _):
        return contents(Puller(server.url, tmp_path_factory.mktemp("undisturbed")).source())


def test_what_is_pulled_is_the_newest_version_of_every_record(emulator, puller, tmp_path):
    server, recorder = emulator
    recorder.keep_answers = True
    spoken(recorder)
    puller.access = replace(puller.access, transcripts=True)
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    for table in TABLES:
        columns = ", ".join(f'"{name}"' for name in table.columns)
        rows = recorder.rows(f"select {columns} from {recorder.present(table.name)}")
        expected = [tuple(gong.NAMED.get(value, value) for value in row.values()) for row in rows]
        found = warehouse.query(f"select {columns} from {table.relation}")
        assert expected, table.name
        assert sorted(found, key=repr) == sorted(expected, key=repr), table.name
    assert len(server.asked(CALLS)) > 30  # a window a month, pages within
    assert 404 in {status for _, _, status, _ in recorder.answers}  # months before the first call
    assert violations("gong/gong_openapi.json", recorder.answers) == []


def test_what_was_said_is_not_asked_for_unless_it_is_switched_on(emulator, puller, tmp_path):
    server, recorder = emulator
    calls = spoken(recorder)
    found = contents(puller.source())
    assert {request.split("?")[0] for request in server.requests} == {"GET /v2/users", CALLS}
    assert "call_transcript" not in found
    assert len(found["call_tracker"]) == 3
    assert gong.HEARD not in str(found)  # of a tracker the count, not the words

    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    puller.access = replace(puller.access, transcripts=True)
    recorder.clock += timedelta(days=1)
    assert landed(warehouse.land(puller.source())) == {"call_transcript": (4, 0)}  # of old calls too
    assert len(server.asked(TRANSCRIPTS)) > 30
    said = warehouse.query(
        "select call_id, sentence, speakerId, topic, start_ms, end_ms, text from raw_gong.call_transcript order by 1, 2"
    )
    assert said[:3] == [
        (calls[0], 1, "11", "Pricing", 0, 900, "What does it cost?"),
        (calls[0], 2, "12", "Pricing", 900, 1500, "It depends."),
        (calls[0], 3, "12", "Pricing", 1500, 2200, "On what?"),
    ]
    puller.access = replace(puller.access, transcripts=False)
    server.requests.clear()
    recorder.clock += timedelta(days=1)
    assert landed(warehouse.land(puller.source())) == {}
    assert server.asked(TRANSCRIPTS) == []


def test_a_tracker_that_is_counted_anew_is_a_version(emulator, puller, tmp_path):
    _, recorder = emulator
    calls = spoken(recorder)
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    recorder.clock += timedelta(days=1)
    recorder.change("call_tracker", calls[-1], id="71", name="Competitors", type="SMART", count=0)
    assert landed(warehouse.land(puller.source())) == {"call_tracker": (1, 0)}


def test_whoever_spoke_can_be_erased(emulator, puller, tmp_path):
    _, recorder = emulator
    [call, *_] = spoken(recorder)
    [party, *_] = recorder.rows(f"select * from {recorder.present('call_party')} where call_id = '{call}' order by id")
    recorder.connection.execute(
        "update versions_call_party set speakerId = '12' where call_id = ? and id = ?", [call, party["id"]]
    )
    recorder.forget("call_party")
    puller.access = replace(puller.access, transcripts=True)
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    with connect(warehouse.path) as connection:
        erase_person(connection, party["emailAddress"])
    said = warehouse.query(f"select text from raw_gong.call_transcript where call_id = '{call}' order by sentence")
    assert said == [("What does it cost?",), (None,), (None,)]


def test_transcripts_are_switched_on_by_one_variable():
    key = {"GONG_ACCESS_KEY": gong.KEY, "GONG_ACCESS_KEY_SECRET": gong.SECRET}
    assert not GongAccess.from_environment(key).transcripts
    assert not GongAccess.from_environment(key | {"GONG_TRANSCRIPTS": "0"}).transcripts
    assert GongAccess.from_environment(key | {"GONG_TRANSCRIPTS": "1"}).transcripts
    with pytest.raises(UserError, match="GONG_TRANSCRIPTS: 'yes' is not known; write one of 0, 1"):
        GongAccess.from_environment(key | {"GONG_TRANSCRIPTS": "yes"})


def test_calls_of_the_last_days_are_read_again_and_older_ones_are_not(emulator, puller, tmp_path):
    server, recorder = emulator
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    before = recorder.clock
    recorder.clock = now = before + timedelta(days=1)
    every = recorder.rows(f"select id, started from {recorder.present('call')} order by started")
    old, late = every[0]["id"], every[-1]["id"]
    recorder.change("call_context", "new", call_id=late, system="HubSpot", object_type="Deal", object_id="4711")
    recorder.change("call", late, title="Renamed")
    recorder.change("call", old, title="Renamed")
    recorder.change(
        "call", "new", id="8400000000000000001", started=now, scheduled=now, duration=60, direction="Inbound"
    )
    server.requests.clear()
    assert landed(warehouse.land(puller.source())) == {"call": (2, 0), "call_context": (1, 0)}
    assert len(server.asked(CALLS)) < 5
    server.requests.clear()
    recorder.clock += timedelta(days=1)
    assert landed(warehouse.land(puller.source())) == {}


def test_an_empty_company_is_no_error(emulator, puller, tmp_path):
    _, recorder = emulator
    recorder.clock = recorder.days[0] - timedelta(days=1)
    warehouse = Warehouse(tmp_path)
    assert landed(warehouse.land(puller.source())) == {}
    recorder.clock = recorder.days[20]
    assert "call" in landed(warehouse.land(puller.source()))


def test_a_user_who_is_gone_is_deleted_and_one_who_left_is_inactive(emulator, puller, tmp_path):
    _, recorder = emulator
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    first, second, *_ = [row["id"] for row in recorder.rows(f"select id from {recorder.present('user')} order by id")]
    recorder.clock += timedelta(days=1)
    recorder.remove("user", first)
    recorder.change("user", second, active=False)
    assert landed(warehouse.land(puller.source())).get("user", (0, 0)) in ((1, 1), (0, 1))


def test_no_fault_loses_or_repeats_a_call(emulator, puller, undisturbed):
    server, _ = emulator
    faults = [
        {"kind": "429", "retry_after": 3}, {"kind": "429"}, {"kind": "500"}, {"kind": "drop"}, {"kind": "truncate"},
        {"kind": "expired"}, {"kind": "duplicate"},
    ]  # fmt: skip
    for place, fault in enumerate(faults):
        server.faults.add(path=CALLS, skip=3 + 4 * place, **fault)
    server.faults.add("drop", path="users")
    assert contents(puller.source()) == undisturbed
    assert len(server.faults.struck) == len(faults) + 1
    assert any(3 <= wait < 5 for wait in puller.waits)


@pytest.mark.parametrize("has_expired", (False, True))
def test_a_pull_that_died_within_a_window_is_taken_up(has_expired, emulator, puller, undisturbed, monkeypatch):
    server, recorder = emulator
    monkeypatch.setattr("dagster_project.sources.api.source.ROWS_PER_PART", 20)
    monkeypatch.setattr("dagster_project.sources.api.client.ATTEMPTS", 2)
    recorder.page = 5
    server.faults.add("500", path=CALLS, skip=40, times=1000)
    with pytest.raises(Unavailable):
        contents(puller.source())
    server.faults.waiting.clear()
    recorder.generation += has_expired  # the mark to go on from
    asked = len(server.asked(CALLS))
    assert contents(puller.source()) == undisturbed
    whole = sum(1 for _ in range(0, len(undisturbed["call"]), 5))
    assert len(server.asked(CALLS)) - asked < whole


def test_a_day_without_requests_left_is_told_in_one_line(emulator, puller):
    server, _ = emulator
    server.faults.add("429", path=CALLS, skip=5, retry_after=40_000)
    with pytest.raises(QuotaExhausted) as stopped:
        contents(puller.source())
    assert "run again" in str(stopped.value)
    assert "\n" not in str(stopped.value)


def test_a_wrong_key_is_one_line_without_it(emulator, tmp_path):
    server, _ = emulator
    puller = Puller(server.url, tmp_path)
    puller.access = GongAccess(server.url, gong.KEY, Secret("not-the-secret"))
    with pytest.raises(UserError) as refused:
        contents(puller.source())
    assert "GONG_ACCESS_KEY_SECRET" in str(refused.value)
    server.faults.add("expired", times=2)  # this answer names the login
    puller.access = GongAccess(server.url, gong.KEY, Secret(gong.SECRET))
    with pytest.raises(UserError) as told:
        contents(puller.source())
    seen = " ".join(
        [str(refused.value), str(told.value), repr(puller.access), repr(puller.source().client), *puller.said]
    )
    assert not [text for text in ("not-the-secret", gong.SECRET, gong.LOGIN.split()[1]) if text in seen]
