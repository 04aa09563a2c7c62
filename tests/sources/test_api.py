"""The base of the API connectors: what is asked again and how long after, what stops a pull, and what a pull keeps."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import httpx
import pytest

from dagster_project.settings import UserError
from dagster_project.sources import Progress, Rejected
from dagster_project.sources.api import (
    ApiError,
    ApiSource,
    Client,
    Dialect,
    Drift,
    Grant,
    Pace,
    Page,
    QuotaExhausted,
    Secret,
    Stream,
    Unavailable,
    redact,
    source,
)
from dagster_project.sources.api.access import Given
from dagster_project.sources.api.fields import read_fields
from dagster_project.sources.salesforce.shapes import TABLES

CAMPAIGN = next(table for table in TABLES if table.name == "campaign")
TOKEN = "00D-very-secret-token"


class Asked:
    """A client of answers that a test lists, in order; an exception is raised instead."""

    def __init__(self, *answers, dialect: Dialect | None = None, **options) -> None:
        self.answers, self.requests, self.pauses, self.said = list(answers), [], [], []
        options.setdefault("login", lambda: Grant(Secret(f"Bearer {TOKEN}"), secrets=(Secret(TOKEN),)))
        self.client = Client(
            "Acme",
            "https://api.acme.example",
            dialect=dialect,
            say=self.said.append,
            pause=self.pauses.append,
            transport=httpx.MockTransport(self._answer),
            **options,
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def ok(body=None, **headers) -> httpx.Response:
    return httpx.Response(200, json={"fine": True} if body is None else body, headers=headers)


def refused(status: int, body=None, **headers) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body or {"code": "", "message": "no"}, headers=headers)


ACME = Dialect(
    error=lambda response: (response.json()["code"], response.json()["message"]),
    exhausted=frozenset({"DAILY"}),
    usage=lambda headers: tuple(map(int, headers["used"].split("/"))) if "used" in headers else None,
    hint={403: "grant the scope deals.read"},
)


@pytest.mark.parametrize(
    "fault",
    [
        refused(500),
        refused(503),
        refused(429),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("peer closed connection"),
        httpx.Response(200, text='{"half": '),
    ],
    ids=["500", "503", "429", "timeout", "dropped", "truncated"],
)
def test_a_fault_that_passes_is_asked_again(fault):
    asked = Asked(ok(), fault, ok({"rows": 1}))
    asked.client.get("/first")
    assert asked.client.get("/deals") == {"rows": 1}
    assert len(asked.pauses) == 1 and 0 <= asked.pauses[0] <= 60
    assert len(asked.said) == 1 and "asking again" in asked.said[0]


def test_waits_grow_and_differ():
    asked = Asked(ok(), *[refused(500) for _ in range(7)], ok())
    asked.client.get("/first")
    asked.client.get("/deals")
    assert len(set(asked.pauses)) == 7
    assert all(pause <= limit for pause, limit in zip(asked.pauses, (1, 2, 4, 8, 16, 32, 60), strict=True))


@pytest.mark.parametrize(
    ("told", "least"),
    [("7", 7), ("Wed, 01 Jan 2025 00:00:09 GMT", 9), ("nonsense", 0)],
    ids=["seconds", "date", "neither"],
)
def test_retry_after_is_what_is_waited(told, least):
    date = "Wed, 01 Jan 2025 00:00:00 GMT"  # the server's own clock, which need not be ours
    asked = Asked(refused(429, retry_after=told, date=date), ok())
    asked.client.get("/deals")
    assert least <= asked.pauses[0] <= least + 1


def test_a_wait_of_hours_ends_the_run_instead():
    with pytest.raises(QuotaExhausted, match="run again"):
        Asked(refused(429, retry_after="7200")).client.get("/deals")


def test_an_outage_that_lasts_is_told_in_one_line():
    asked = Asked(ok(), *[refused(502) for _ in range(8)])
    asked.client.get("/first")
    with pytest.raises(Unavailable, match=r"^Acme: no answer after 8 attempts"):
        asked.client.get("/deals")


def test_a_wrong_address_is_told_soon():
    asked = Asked(*[httpx.ConnectError("no such host") for _ in range(3)])
    with pytest.raises(UserError, match=r"cannot be reached at https://api\.acme\.example"):
        asked.client.get("/deals")
    assert len(asked.requests) == 3


def test_a_refusal_says_what_to_do_and_is_not_repeated():
    asked = Asked(refused(403, {"code": "SCOPE", "message": "missing\nscope"}), dialect=ACME)
    with pytest.raises(ApiError) as error:
        asked.client.get("/deals")
    assert (error.value.status, error.value.code) == (403, "SCOPE")
    assert str(error.value) == "Acme: GET /deals answered 403 SCOPE: missing scope; grant the scope deals.read"
    assert len(asked.requests) == 1


def test_a_days_quota_stops_before_it_is_used_up():
    asked = Asked(ok(used="899/1000"), ok(used="900/1000"), dialect=ACME)
    asked.client.get("/a")
    asked.client.get("/b")
    with pytest.raises(QuotaExhausted, match="900 of the day's 1,000 requests"):
        asked.client.get("/c")
    assert len(asked.requests) == 2


def test_an_exhausted_quota_is_no_fault_to_sit_out():
    with pytest.raises(QuotaExhausted):
        Asked(refused(429, {"code": "DAILY", "message": "limit"}), dialect=ACME).client.get("/deals")


def test_an_expired_token_is_renewed_once():
    grants = iter("abc")
    asked = Asked(refused(401), ok(), refused(401), refused(401), login=lambda: Grant(Secret(f"Bearer {next(grants)}")))
    asked.client.get("/deals")
    assert [request.headers["authorization"] for request in asked.requests] == ["Bearer a", "Bearer b"]
    with pytest.raises(ApiError):
        asked.client.get("/deals")
    assert len(asked.requests) == 4


def test_a_token_is_never_taken_to_another_host():
    asked = Asked(ok())
    with pytest.raises(UserError, match="another host"):
        asked.client.get("https://evil.example/next")
    assert asked.requests == []


def test_the_servers_clock_counts_and_not_this_machines():
    asked = Asked(ok(date="Wed, 01 Jan 2025 10:00:00 GMT"))
    asked.client.get("/deals")
    assert asked.client.now() == datetime(2025, 1, 1, 10)


def test_pace_spreads_requests():
    pauses, pace = [], Pace(4)
    for _ in range(3):
        pace.wait(pauses.append, now=lambda: 100.0)
    assert pauses == [0.25, 0.5]


def test_no_secret_is_seen():
    asked = Asked(ok(), *[refused(500, {"code": TOKEN, "message": f"Bearer {TOKEN}"}) for _ in range(8)], dialect=ACME)
    asked.client.get("/first")
    with pytest.raises(Unavailable) as error:
        asked.client.get("/deals")
    everything = " ".join([*asked.said, str(error.value), repr(asked.client), repr(asked.client.secrets)])
    assert TOKEN not in everything and "***" in everything


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def-secret",
        "Basic c2VjcmV0",
        '{"access_token": "x-secret", "a": 1}',
        "refresh_token=x-secret&grant_type=refresh_token",
        "client_secret='x-secret'",
        "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_token_is_hidden_even_where_nobody_knows_it(text):
    assert not {"secret", "c2VjcmV0"} & set(redact(text).replace("-", " ").replace("'", " ").replace('"', " ").split())
    assert "***" in redact(text)


def test_a_secret_cannot_be_printed_or_stored():
    secret = Secret("hush")
    assert "hush" not in f"{secret} {secret!r} {[secret]}" and secret.reveal() == "hush"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


# What a pull keeps


class Campaigns(Stream):
    """Pages as listed, one partition a list; a page that is an exception is raised."""

    name, tables = "Campaign", (CAMPAIGN,)

    def __init__(self, partitions: dict[str, list]) -> None:
        self.given, self.asked = partitions, []

    def partitions(self, cursor: str | None) -> list[str]:
        return list(self.given)

    def pages(self, partition: str, resume: str | None) -> Iterator[Page]:
        self.asked.append((partition, resume))
        for number, page in enumerate(self.given[partition]):
            if number < int(resume or 0):
                continue
            if isinstance(page, BaseException):
                raise page
            yield Page({"campaign": page}, str(number + 1), max((row.get("at", "") for row in page), default=None))


class Acme(ApiSource):
    origin = "salesforce"

    def __init__(self, folder: Path, stream: Stream, reading: str = "") -> None:
        super().__init__(folder, say=lambda line: None)
        self.stream, self.how = stream, reading

    def tables(self):
        return [CAMPAIGN]

    def streams(self):
        return [self.stream]

    def now(self):
        return datetime(2025, 1, 1)

    def reading(self):
        return self.how


def rows_of(source: ApiSource) -> list[tuple]:
    [extract] = source.extracts()
    return sorted(duckdb.sql(f'select "Id", "Name" from ({extract.rows})').fetchall())


def row(number: int, name: str = "", at: str = "") -> dict:
    return {"Id": str(number), "Name": name, "at": at}


def test_a_record_read_twice_stands_as_it_was_read_last(tmp_path):
    pages = {"old": [[row(1, "a"), row(2, "b")], [row(1, "a")]], "new": [[row(2, "c")], []]}
    assert rows_of(Acme(tmp_path, Campaigns(pages))) == [("1", "a"), ("2", "c")]


def test_a_pull_that_broke_off_goes_on_after_its_last_part(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "ROWS_PER_PART", 2)
    pages = {"old": [[row(1)]], "new": [[row(2), row(3)], [row(4)], KeyboardInterrupt()]}
    with pytest.raises(KeyboardInterrupt):
        list(Acme(tmp_path, Campaigns(pages)).extracts())
    pages["new"][2] = [row(5)]
    again = Campaigns(pages)
    assert [number for number, _ in rows_of(Acme(tmp_path, again))] == list("12345")
    assert again.asked == [("new", "1")]  # the page after the part of two rows; what was in memory is read again


def test_a_finished_pull_is_handed_over_again_until_a_load_has_its_verdict(tmp_path):
    rows_of(Acme(tmp_path, Campaigns({"all": [[row(1)]]})))
    again = Acme(tmp_path, Campaigns({"all": [[row(2)]]}))
    assert [number for number, _ in rows_of(again)] == ["1"]
    judged = Acme(tmp_path, Campaigns({"all": [[row(2)]]}))
    judged.resume(Progress({}, judged=7))
    assert [number for number, _ in rows_of(judged)] == ["2"]


def test_a_pull_is_not_taken_up_by_another_way_of_reading(tmp_path):
    rows_of(Acme(tmp_path, Campaigns({"all": [[row(1)]]})))
    assert [number for number, _ in rows_of(Acme(tmp_path, Campaigns({"all": [[row(2)]]}), "other fields"))] == ["2"]


def test_the_instant_is_later_than_what_is_landed(tmp_path):
    acme = Acme(tmp_path, Campaigns({"all": []}))
    acme.resume(Progress({}, extracted_at=datetime(2030, 1, 1)))
    [extract] = acme.extracts()
    assert extract.extracted_at > datetime(2030, 1, 1)


def test_rows_that_no_table_can_hold_are_kept_over_a_kill(tmp_path):
    refused_row = Rejected("campaign", "api", 1, "Id", None, "no record", '"x"')
    stream = Campaigns({"all": [[row(1)]]})
    stream.pages = lambda partition, resume: iter([Page({}, rejected=(refused_row,))])
    rows_of(Acme(tmp_path, stream))
    again = Acme(tmp_path, Campaigns({"all": []}))
    rows_of(again)
    assert list(again.rejected()) == [refused_row]


def test_the_pull_is_for_its_owners_eyes_only(tmp_path):
    rows_of(Acme(tmp_path / "pull", Campaigns({"all": [[row(1)]]})))
    assert (tmp_path / "pull").stat().st_mode & 0o077 == 0


def test_drift_says_once_what_is_new_and_always_what_is_missing(tmp_path):
    said = []
    for _ in range(2):
        assert Drift(tmp_path / "f.json", "acme", said.append).readable("Deal", ["a", "b"], ["a", "c"]) == ["a"]
    assert len(said) == 2 and all("has no b" in line for line in said)
    Drift(tmp_path / "f.json", "acme", said.append).readable("Deal", ["a"], ["a", "c", "d"])
    Drift(tmp_path / "f.json", "acme", said.append).readable("Deal", ["a"], ["a", "c", "d"])
    assert len(said) == 3 and "new fields: d;" in said[2]


# Settings


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("salesforce: {campain: {}}", "no table 'campain' (did you mean 'campaign'?)"),
        ("salesforce: {campaign: {Nam: X}}", "no column 'Nam' (did you mean 'Name'?)"),
        ("salesforce: {campaign: {Name: 'x; drop'}}", "is no name of a field"),
        ("salesforce: {campaign: {Id: Other__c}}", "is the key"),
        ("salesforce: [campaign]", "is to hold tables"),
        ("salesfroce: {}", "(did you mean 'salesforce'?)"),
        ("salesforce: {", "line 2: this is no YAML"),
        ("- a", "begin with the source"),
    ],
)
def test_a_mistake_in_the_field_map_is_one_clear_line(text, told, tmp_path):
    (tmp_path / "fields.yml").write_text(text + "\n")
    with pytest.raises(UserError) as error:
        read_fields(tmp_path / "fields.yml", "salesforce", TABLES)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_field_map_renames_and_leaves_out(tmp_path):
    (tmp_path / "fields.yml").write_text("salesforce: {campaign: {Name: Title__c, Type: null}}")
    fields = read_fields(tmp_path / "fields.yml", "salesforce", TABLES).of(CAMPAIGN)
    assert fields["Name"] == "Title__c" and "Type" not in fields and fields["Id"] == "Id"


@pytest.mark.parametrize(
    "url", ["http://acme.example", "ftp://acme.example", "acme.example", "https://user:pw@acme.example"]
)
def test_secrets_are_sent_to_safe_addresses_only(url):
    with pytest.raises(UserError, match="ACME_URL") as error:
        Given("acme", {"ACME_URL": url}).url("URL")
    assert "pw" not in str(error.value)


def test_the_cursor_is_json_that_names_no_record():
    """It stands in `loads`, which is shown on pages."""
    from dagster_project.sources.salesforce.streams import Cursor

    told = json.loads(Cursor("00D", "abc", "2025-01-01T00:00:00.000").text())
    assert set(told) == {"org", "reading", "at", "whole_at", "more"}
