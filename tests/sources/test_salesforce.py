"""The Salesforce connector against the emulator: what arrives, what arrives again, what faults and changes do to it.

Rows are compared with the demo's raw tables, which the emulator tells as Salesforce would.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from dagster_project.settings import PROJECT_ROOT, Settings, UserError
from dagster_project.sources.api import Client, QuotaExhausted, Unavailable
from dagster_project.sources.api.fields import FieldMap
from dagster_project.sources.demo import DemoSource
from dagster_project.sources.landing import judge, land
from dagster_project.sources.registry import open_sources
from dagster_project.sources.salesforce import api, source, streams
from dagster_project.sources.salesforce.access import SalesforceAccess
from dagster_project.sources.salesforce.api import DIALECT, Salesforce
from dagster_project.sources.salesforce.source import SalesforceSource
from dagster_project.warehouse import connect, prepare
from tests.emulators.base import Company, Server
from tests.emulators.salesforce import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, Org, salesforce

RECORDINGS = PROJECT_ROOT.parent / "shared" / "data" / "recordings" / "salesforce"
# What the API tells otherwise than the raw tables do (docs/connect-a-crm.md): compared by themselves, or not at all.
TOLD_OTHERWISE = {
    "currency_type": ("StartDate", "Id"),  # one record a currency, the present rate
    "forecasting_item": ("Id", "CreatedDate", "LastModifiedDate"),  # a row is made of three items
    "opportunity_history": ("SystemModstamp",),  # of what arrives late
}


FORECASTING = {"CurrencyType", "DatedConversionRate", "ForecastingItem", "ForecastingQuota", "ForecastingType"}


class Place:
    """A warehouse that reads the emulated organisation."""

    def __init__(self, folder: Path, server: Server, company: Company, org: Org) -> None:
        self.folder, self.server, self.company, self.org = folder, server, company, org
        self.said: list[str] = []
        self.opened: list[SalesforceSource] = []
        self.access = SalesforceAccess(server.url, CLIENT_ID, _secret(CLIENT_SECRET))
        self.fields = FieldMap()

    def open(self):
        return connect(self.folder / "warehouse.duckdb")

    def source(self) -> SalesforceSource:
        pulls, pause = self.folder / "pulls" / "salesforce", lambda seconds: None
        self.opened.append(SalesforceSource(self.access, pulls, self.said.append, self.fields, pause))
        return self.opened[-1]

    def close(self) -> None:
        for each in self.opened:
            each.close()

    def sync(self, accept: bool | None = True):
        """Pull and land; accept, refuse, or leave without a verdict."""
        with self.open() as connection:
            report = land(connection, self.source(), self.said.append)
            if accept is not None:
                judge(connection, "raw_salesforce", report.load_id, accept)
        return {table.relation.partition(".")[2]: table for table in report.tables}

    def pull(self) -> dict[str, list[tuple]]:
        """What a pull hands over, without landing it."""
        found = {}
        for extract in self.source().extracts():
            columns = ", ".join(f'"{name}"' for name in extract.table.columns)
            found[extract.table.name] = sorted(
                duckdb.sql(f"select {columns} from ({extract.rows})").fetchall(), key=str
            )
        return found

    def rows(self, sql: str) -> list[tuple]:
        with self.open() as connection:
            return connection.execute(sql).fetchall()

    def requests(self, act: Callable) -> list[str]:
        """Those made while acting."""
        before = len(self.server.requests)
        act()
        return self.server.requests[before:]


def _secret(text: str):
    from dagster_project.sources.api import Secret

    return Secret(text)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    return DemoSource("tiny", 42, tmp_path_factory.mktemp("demo")).prepare()


@pytest.fixture(scope="module")
def key() -> tuple[str, str]:
    """Private and public, as PEM."""
    made = rsa.generate_private_key(65537, 2048)
    private = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return private, made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture(scope="module")
def empty_warehouse(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "warehouse.duckdb"
    with connect(path) as connection:
        prepare(connection)
    return path


@pytest.fixture
def whole_place(demo, key, empty_warehouse, tmp_path):
    company = Company(demo, "raw_salesforce")
    company.clock = company.days[60]
    shutil.copy(empty_warehouse, tmp_path)
    with salesforce(company, key[1]) as (server, org):
        here = Place(tmp_path, server, company, org)
        yield here
        here.close()


@pytest.fixture
def place(whole_place, monkeypatch):
    """Where a few objects are enough."""
    few = ("Account", "Contact", "Campaign", "Lead", "Opportunity", "Task", "Event")
    monkeypatch.setattr(source, "OBJECTS", tuple(what for what in source.OBJECTS if what.name in few))
    whole_place.org.missing |= FORECASTING
    return whole_place


@pytest.fixture(scope="module")
def undisturbed(demo, tmp_path_factory) -> dict[str, list[tuple]]:
    """What a pull of all objects hands over."""
    company = Company(demo, "raw_salesforce")
    company.clock = company.days[60]
    with salesforce(company) as (server, org):
        return Place(tmp_path_factory.mktemp("undisturbed"), server, company, org).pull()


def same(pulled: dict[str, list[tuple]], undisturbed: dict[str, list[tuple]]) -> bool:
    return bool(pulled) and all(rows == undisturbed[table] for table, rows in pulled.items())


def columns_of(company: Company, table: str) -> str:
    return ", ".join(f'"{name}"' for name in company.tables[table].columns if name not in TOLD_OTHERWISE.get(table, ()))


# What arrives


def test_every_record_lands_as_the_raw_tables_hold_it(whole_place):
    whole_place.company.clock = whole_place.company.days[-1]
    whole_place.sync()
    for table in whole_place.company.tables:
        columns = columns_of(whole_place.company, table)
        newest = f"from {whole_place.company.present(table)}"
        if table == "currency_type":
            newest += " qualify row_number() over (partition by IsoCode order by StartDate desc) = 1"
        there = whole_place.company.connection.cursor().execute(f"select {columns} {newest} order by all").fetchall()
        here = whole_place.rows(f"select {columns} from raw_salesforce.{table} order by all")
        assert here == there, table
    assert whole_place.rows("select * from raw_salesforce.rejected_rows") == []


def test_products_and_splits_arrive_where_a_company_has_them(whole_place):
    company = whole_place.company
    [deal] = company.rows(f"select Id from {company.present('opportunity')} limit 1")
    told = {"OpportunityId": deal["Id"], "IsDeleted": False, "SystemModstamp": company.clock}
    company.change("opportunity_line_item", "00k5g0000000001AAA", Quantity=2, UnitPrice=50, TotalPrice=100, **told)
    company.change("opportunity_split", "1Sp5g0000000001AAA", SplitPercentage=60, **told)
    whole_place.sync()
    assert whole_place.rows("select Quantity, TotalPrice from raw_salesforce.opportunity_line_item") == [(2, 100)]
    assert whole_place.rows("select SplitPercentage from raw_salesforce.opportunity_split") == [(60,)]


def test_a_sync_a_day_lands_the_versions_that_the_demo_has(whole_place):
    days = whole_place.company.days[60:62]
    for whole_place.company.clock in days:
        whole_place.sync()
    for table in whole_place.company.tables:
        columns = columns_of(whole_place.company, table)
        raw = f"select {columns}, _extracted_at from raw_salesforce.{table} where _extracted_at > timestamp '{days[0]}'"
        told = f"""select {columns}, _extracted_at from versions_{table}
            where _extracted_at > timestamp '{days[0]}' and _extracted_at <= timestamp '{days[-1]}'"""
        there = whole_place.company.connection.cursor().execute(f"{told} order by all").fetchall()
        if table != "currency_type":
            assert whole_place.rows(f"{raw} order by all") == there, table


def test_nothing_new_asks_for_little_and_lands_nothing(place):
    place.sync()
    requests = place.requests(lambda: place.sync())
    assert place.rows(
        "select sum(rows_landed), sum(rows_deleted), max(kind) from raw_salesforce.loads where load_id = 2"
    ) == [(0, 0, "load")]
    tasks = next(request for request in requests if "FROM+Task" in request)
    assert "WHERE+SystemModstamp+%3E%3D+" in tasks and "queryAll" in tasks


def test_what_changed_between_two_runs_arrives_and_nothing_else(place):
    company = place.company
    place.sync()
    ids = [row["Id"] for row in company.rows(f"select Id from {company.present('opportunity')} order by Id limit 3")]
    accounts = [row["Id"] for row in company.rows(f"select Id from {company.present('account')} order by Id limit 2")]
    company.clock += timedelta(hours=1)
    now = {"SystemModstamp": company.clock, "LastModifiedDate": company.clock}
    company.change("opportunity", ids[0], NextStep="Call the CFO", **now)
    company.change("opportunity", ids[1], IsDeleted=True, **now)
    company.change("account", accounts[1], IsDeleted=True, MasterRecordId=accounts[0], **now)
    landed = {name: table.rows_landed for name, table in place.sync().items() if table.rows_landed}
    assert landed == {"opportunity": 2, "account": 1}

    company.clock += timedelta(hours=1)
    now = {"SystemModstamp": company.clock, "LastModifiedDate": company.clock}
    company.change("opportunity", ids[1], IsDeleted=False, **now)
    assert {name: table.rows_landed for name, table in place.sync().items() if table.rows_landed} == {"opportunity": 1}
    told = place.rows(f"select IsDeleted from raw_salesforce.opportunity where Id = '{ids[1]}' order by _version")
    assert told == [(False,), (True,), (False,)]
    merged = place.rows(
        f"select MasterRecordId from raw_salesforce.account where Id = '{accounts[1]}' and _version = 2"
    )
    assert merged == [(accounts[0],)]


def test_a_record_stamped_before_it_could_be_seen_still_arrives(place):
    place.sync()
    company = place.company
    [(newest,)] = place.rows("select max(SystemModstamp) from raw_salesforce.contact")
    [one] = company.rows(f"select Id from {company.present('contact')} limit 1")
    company.clock += timedelta(minutes=5)
    company.change("contact", one["Id"], Title="CFO", SystemModstamp=newest - timedelta(minutes=5))
    assert place.sync()["contact"].rows_landed == 1


def test_reading_everything_again_finds_what_bears_no_stamp(place):
    place.sync()
    company = place.company
    ids = [row["Id"] for row in company.rows(f"select Id from {company.present('account')} order by Id limit 2")]
    company.change("account", ids[0], Segment__c="Strategic")  # a formula: no stamp moves
    company.remove("account", ids[1])  # purged from the recycle bin
    company.clock += timedelta(days=1)
    place.sync()
    assert place.rows(f"select max(_version) from raw_salesforce.account where Id in {tuple(ids)}") == [(1,)]
    company.clock += timedelta(days=30)
    account = place.sync()["account"]
    assert (account.rows_landed > 0, account.rows_deleted) == (True, 1)
    assert place.rows(
        f"select Segment__c from raw_salesforce.account where Id = '{ids[0]}' order by _version desc limit 1"
    ) == [("Strategic",)]
    [gone] = place.rows(f"select _is_deleted from raw_salesforce.account where Id = '{ids[1]}' and _version = 2")
    assert gone == (True,)


def test_history_that_salesforce_cleared_away_is_not_taken_for_deleted():
    reading = streams.Reading("00D", "", lambda: datetime(2025, 1, 1), timedelta(days=30))
    whole = {what.name: streams.ObjectStream(None, reading, what, {}).is_whole(None) for what in source.OBJECTS}
    assert [name for name, is_whole in whole.items() if not is_whole] == ["OpportunityFieldHistory"]


def test_a_plan_rate_that_changes_holds_from_its_change_on(place):
    place.org.missing.discard("CurrencyType")
    company = place.company
    company.clock = datetime(2024, 12, 31, 23, 59, 59)
    place.sync()
    assert place.rows("select distinct StartDate from raw_salesforce.currency_type") == [(None,)]
    company.clock = datetime(2025, 1, 2, 23, 59, 59)
    place.sync()
    found = place.rows(
        "select IsoCode, StartDate::varchar from raw_salesforce.currency_type where _version = 2 order by 1"
    )
    assert found == [("EUR", "2025-01-01"), ("GBP", "2025-01-01"), ("USD", "2025-01-01")]
    assert place.sync()["currency_type"].rows_landed == 0


# What goes wrong


@pytest.mark.parametrize(
    ("kind", "path", "more"),
    [
        ("429", "FROM.Task", {"retry_after": 2}),
        ("429", "describe", {"times": 2}),
        ("500", "FROM.Contact", {"times": 3}),
        ("drop", "FROM.Opportunity", {}),
        ("drop", "query/0r8", {"skip": 1, "times": 2}),
        ("truncate", "FROM.Lead", {}),
        ("expired", "FROM.Event", {}),
        ("duplicate", "query/0r8", {"skip": 1}),
    ],
)
def test_a_fault_changes_nothing_that_arrives(place, undisturbed, kind, path, more):
    place.org.rest_rows = 100
    place.server.faults.add(kind, path, **more)
    assert same(place.pull(), undisturbed)
    assert place.server.faults.struck


@pytest.mark.parametrize(
    ("kind", "path", "more"),
    [
        (None, "", {}),
        ("drop", "results", {"skip": 1}),
        ("truncate", "results", {"skip": 2}),
        ("duplicate", "results", {}),
        ("500", "jobs/query/750", {}),
        ("429", "POST .*jobs/query", {"retry_after": 1}),
        ("expired", "results", {"skip": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_large_objects_come_in_bulk(place, undisturbed, monkeypatch, kind, path, more):
    monkeypatch.setattr(api, "REST_ROWS", 50)
    monkeypatch.setattr(streams, "REST_ROWS", 150)
    monkeypatch.setattr(api, "ROWS_PER_BULK_PAGE", 60)
    monkeypatch.setattr(streams, "ROWS_PER_WINDOW", 100)
    if kind:
        place.server.faults.add(kind, path, **more)
    pulled = place.pull()
    stamped = lambda rows: [tuple(re.sub(r"(\+0000|Z)$", "", str(value)) for value in row) for row in rows]  # noqa: E731
    number = lambda text: re.sub(r"^(-?\d+)\.0*$|^(-?\d+\.\d*?)0+$", lambda m: m[1] or m[2], text)  # noqa: E731
    for table, rows in pulled.items():
        here, there = ([tuple(map(number, row)) for row in stamped(each)] for each in (rows, undisturbed[table]))
        assert sorted(here) == sorted(there), table
    assert len(place.server.asked("POST .*jobs/query")) > 4
    assert not kind or place.server.faults.struck


def test_an_object_that_bulk_refuses_is_read_by_rest(whole_place, monkeypatch):
    monkeypatch.setattr(api, "REST_ROWS", 1)
    whole_place.sync()
    assert whole_place.rows("select count(*) from raw_salesforce.opportunity_stage") == [(8,)]


def test_a_clock_that_is_wrong_loses_nothing(place):
    place.server.skew = timedelta(hours=-5)
    place.sync()
    place.server.skew = timedelta(hours=7)
    company = place.company
    [one] = company.rows(f"select Id from {company.present('contact')} limit 1")
    company.clock += timedelta(minutes=1)
    company.change("contact", one["Id"], Title="CFO", SystemModstamp=company.clock)
    assert place.sync()["contact"].rows_landed == 1
    place.server.skew = timedelta(hours=-9)
    assert sum(table.rows_landed for table in place.sync().values()) == 0


def test_rows_that_never_add_up_stop_the_pull(place):
    place.org.rest_rows = 100
    place.server.faults.add("duplicate", "query/0r8", times=99)
    with pytest.raises(Unavailable, match="of them different"):
        place.pull()


@pytest.mark.parametrize("after", [3, 12, 16, 20])
def test_a_pull_that_dies_is_taken_up_where_it_stopped(place, undisturbed, monkeypatch, after):
    """Killed between any two requests; what a signal does to a run is tried among the faults."""
    place.org.rest_rows = 100
    asked = iter(range(after))
    original = Client.open

    def until(self, *request, **more):
        if next(asked, None) is None:
            raise KeyboardInterrupt
        return original(self, *request, **more)

    monkeypatch.setattr(Client, "open", until)
    with pytest.raises(KeyboardInterrupt):
        place.pull()
    monkeypatch.setattr(Client, "open", original)
    done = [line.split(":")[0].removeprefix("salesforce ") for line in place.said if " rows pulled in " in line]
    requests = place.requests(lambda: place.pull())
    assert same(place.pull(), undisturbed)
    for name in done:
        if name not in ("Opportunity", "ForecastingType"):  # named in other queries, too
            assert not [request for request in requests if re.search(rf"FROM\+{name}(\+|$)", request)], name


def test_a_load_without_a_verdict_is_handed_over_again_without_asking(place):
    place.sync(accept=None)
    before = place.rows("select count(*) from raw_salesforce.contact")
    requests = place.requests(lambda: place.sync())
    assert not [request for request in requests if "FROM+Contact" in request]
    assert place.rows("select count(*) from raw_salesforce.contact") == before


def test_a_refused_load_is_pulled_anew_from_where_it_began(place):
    place.sync(accept=False)
    requests = place.requests(lambda: place.sync())
    [contacts] = [request for request in requests if re.search("q=SELECT.*FROM.Contact(&|$)", request)][:1]
    assert "WHERE" not in contacts
    [landed] = place.rows(
        "select rows_landed > 0 from raw_salesforce.loads where load_id = 2 and table_name = 'contact'"
    )
    assert landed == (True,)


def test_a_used_up_quota_stops_cleanly_and_the_next_day_goes_on(place, undisturbed):
    place.org.granted = 20
    with pytest.raises(QuotaExhausted, match="18 of the day's 20 requests"):
        place.sync()
    assert place.rows("select count(*) from raw_salesforce.loads") == [(0,)]
    place.org.granted, place.org.used = 100_000, 0
    assert same(place.pull(), undisturbed)


# Columns that come and go


def test_a_hidden_column_is_null_with_a_warning(place):
    place.sync()
    place.org.hidden.add("Opportunity.Champion__c")
    company = place.company
    [one] = company.rows(f"select Id from {company.present('opportunity')} where Champion__c is not null limit 1")
    company.clock += timedelta(hours=1)
    company.change("opportunity", one["Id"], SystemModstamp=company.clock)
    place.sync()
    [(champion,)] = place.rows(
        f"select Champion__c from raw_salesforce.opportunity where Id = '{one['Id']}' order by _version desc limit 1"
    )
    assert champion is None
    assert any(re.match("warning: salesforce Opportunity has no Champion__c .*null", line) for line in place.said)


def test_a_new_field_is_reported_once(place):
    place.sync()
    place.company.connection.execute("alter table versions_opportunity add column Partner__c varchar")
    place.company.forget("opportunity")
    place.sync()
    place.sync()
    assert len([line for line in place.said if "Opportunity has new fields: Partner__c" in line]) == 1


def test_a_changed_type_goes_to_the_rejected_rows(place):
    company = place.company
    cursor = company.connection.cursor()
    cursor.execute("alter table versions_campaign alter ActualCost type varchar")
    cursor.execute(
        "update versions_campaign set ActualCost = 'about a lot' where Id = (select min(Id) from versions_campaign)"
    )
    company.forget("campaign")
    campaigns = place.sync()["campaign"]
    assert campaigns.rows_rejected == 1 and campaigns.rows_landed == campaigns.rows_read - 1
    [(column, value, text)] = place.rows("select column_name, value, row_text from raw_salesforce.rejected_rows")
    assert (column, value) == ("ActualCost", "about a lot") and json.loads(text)["Name"]


def test_a_field_map_reads_what_an_organisation_named_itself(place):
    cursor = place.company.connection.cursor()
    cursor.execute("alter table versions_opportunity rename Champion__c to MEDDPICC_Champion__c")
    place.fields = FieldMap({"opportunity": {"Champion__c": "MEDDPICC_Champion__c", "MergedIntoId__c": None}})
    place.company.tables = {k: v for k, v in place.company.tables.items()}
    place.sync()
    assert place.rows("select count(Champion__c) > 0 from raw_salesforce.opportunity") == [(True,)]
    assert not [line for line in place.said if line.startswith("warning") and "Opportunity has no" in line]


def test_another_field_map_reads_everything_again(place):
    place.sync()
    place.fields = FieldMap({"opportunity": {"Competitor__c": "LossReason__c"}})
    requests = place.requests(lambda: place.sync())
    contacts = next(request for request in requests if "FROM+Contact" in request)
    assert "WHERE" not in contacts


def test_what_an_organisation_does_not_have_is_left_out(whole_place):
    whole_place.org.missing |= FORECASTING
    whole_place.org.hidden |= {"Opportunity.CurrencyIsoCode"}
    landed = whole_place.sync()
    assert "forecasting_quota" not in landed and landed["opportunity"].rows_landed
    assert not [line for line in whole_place.said if line.startswith("warning") and "CurrencyIsoCode" in line]


# Logins


@pytest.fixture
def environment(place) -> dict[str, str]:
    return {"SALESFORCE_LOGIN_URL": place.server.url, "SALESFORCE_CLIENT_ID": CLIENT_ID}


def test_three_ways_to_log_in(place, environment, key, tmp_path):
    (tmp_path / "key.pem").write_text(key[0])
    ways = {
        "client_credentials": {"SALESFORCE_CLIENT_SECRET": CLIENT_SECRET},
        "refresh_token": {"SALESFORCE_REFRESH_TOKEN": REFRESH_TOKEN},
        "urn:ietf:params:oauth:grant-type:jwt-bearer": {
            "SALESFORCE_PRIVATE_KEY_FILE": str(tmp_path / "key.pem"), "SALESFORCE_USERNAME": "etl@demo.example",
        },
    }  # fmt: skip
    for kind, more in ways.items():
        place.access = SalesforceAccess.from_environment(environment | more)
        assert place.source().salesforce.describe("Account")
        assert place.org.logins[-1] == kind
    one_line = environment | {
        "SALESFORCE_PRIVATE_KEY": key[0].replace("\n", "\\n"),
        "SALESFORCE_USERNAME": "etl@demo.example",
    }
    place.access = SalesforceAccess.from_environment(one_line)
    assert place.source().salesforce.describe("Account")


def test_a_refused_login_is_one_line_without_the_secret(place):
    place.access = replace(place.access, client_secret=_secret("wrong-secret"))
    with pytest.raises(UserError) as error:
        place.sync()
    line = str(error.value)
    assert "invalid_client" in line and "wrong-secret" not in line and "\n" not in line


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "SALESFORCE_CLIENT_ID is not set"),
        ({"CLIENT_ID": "x"}, "SALESFORCE_CLIENT_SECRET is not set"),
        ({"CLIENT_ID": "x", "PRIVATE_KEY": "k"}, "SALESFORCE_USERNAME is not set"),
        ({"CLIENT_ID": "x", "PRIVATE_KEY_FILE": "/no/key.pem"}, "cannot read /no/key.pem"),
        ({"CLIENT_ID": "x", "CLIENT_SECRET": "s", "API_VERSION": "v9"}, "'9' is no version"),
        ({"CLIENT_ID": "x", "CLIENT_SECRET": "s", "LOGIN_URL": "http://login.salesforce.com"}, "write https://"),
        ({"CLIENT_ID": "x", "CLIENT_SECRET": "s", "RECONCILE_DAYS": "often"}, "'often' is not a whole number"),
    ],
)
def test_a_mistake_in_the_settings_is_one_clear_line(given, told):
    with pytest.raises(UserError) as error:
        SalesforceAccess.from_environment({f"SALESFORCE_{name}": text for name, text in given.items()})
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_key_that_is_none_is_told_without_showing_it(place, environment):
    given = environment | {"SALESFORCE_PRIVATE_KEY": "not-a-key-but-secret", "SALESFORCE_USERNAME": "u"}
    place.access = SalesforceAccess.from_environment(given)
    with pytest.raises(UserError, match="no RSA private key") as error:
        place.sync()
    assert "not-a-key" not in str(error.value) and "not-a-key" not in repr(place.access)


def test_the_registry_opens_it_beside_the_warehouse(monkeypatch, tmp_path):
    for name, text in {"CLIENT_ID": "x", "CLIENT_SECRET": "s"}.items():
        monkeypatch.setenv(f"SALESFORCE_{name}", text)
    [opened] = open_sources(Settings(warehouse=tmp_path / "w.duckdb", sources=("salesforce",)))
    assert (opened.origin, opened.system, opened.folder) == (
        "salesforce",
        "salesforce",
        tmp_path / "w.duckdb.pulls/salesforce",
    )
    assert list(tmp_path.iterdir()) == []


def test_another_organisations_rows_are_never_mixed_in(place, monkeypatch):
    place.sync()
    monkeypatch.setattr("tests.emulators.salesforce.ORGANISATION", "00D5g0000009sandEAA")
    with pytest.raises(UserError, match="organisation 00D5g0000009sandEAA"):
        place.sync()


def test_no_secret_is_said_stored_or_landed(place):
    place.server.faults.add("expired", "FROM.Lead")
    place.server.faults.add("500", "FROM.Task")
    place.sync()
    tokens = [CLIENT_SECRET, *place.org.tokens]
    assert len(place.org.tokens) == 2
    with place.open() as connection:
        loads = str(connection.execute("from raw_salesforce.loads").fetchall())
    stored = "".join(file.read_text() for file in place.folder.rglob("*.json"))
    for token in tokens:
        assert token not in loads + stored + "".join(place.said) + repr(vars(place.source()))


# The real thing, as recorded


def recorded(name: str) -> dict[str, dict]:
    """Path to the recorded answer, its request beside."""
    if not RECORDINGS.is_dir():
        pytest.skip(f"no recordings at {RECORDINGS}")
    return json.loads((RECORDINGS / f"{name}.test.json").read_text())["api"]["get"]


def replaying(answers: dict[str, dict]) -> Salesforce:
    def answer(request: httpx.Request) -> httpx.Response:
        path = re.sub(r"/v\d+\.\d/queryAll$", "/v59.0/query", request.url.path)
        told = answers[path]
        return httpx.Response(told["status"], json=told["response"])

    transport = httpx.MockTransport(answer)
    client = Client("Salesforce", "https://acme.my.salesforce.example", None, DIALECT, transport=transport)
    return Salesforce(client, "59.0")


def test_recorded_pages_are_read_to_their_end():
    answers = recorded("accounts")
    fields = ["Id", "Name", "Industry", "SystemModstamp"]
    pages = list(replaying(answers).rows("SELECT …", fields, bulk=False))
    assert [len(rows) for rows, _ in pages] == [2000, 86]
    assert json.loads(pages[0][1])["url"].endswith("-2000") and pages[1][1] is None
    rows = [row for page, _ in pages for row in page.to_pylist()]
    told = [record for answer in answers.values() for record in answer["response"]["records"]]
    assert rows == [{field: record[field] for field in fields} for record in told]


@pytest.mark.parametrize("name", ["opportunities", "users", "contacts"])
def test_recorded_records_are_read(name):
    answers = recorded(name)
    [told] = answers.values()
    fields = [field for field in told["response"]["records"][0] if field != "attributes"]
    [(rows, following)] = replaying(answers).rows("SELECT …", fields, bulk=True)
    assert following is None and len(rows) == told["response"]["totalSize"]


def shape(value, depth: int = 3):
    """The names and types in an answer, of lists the first element."""
    if isinstance(value, dict) and depth:
        return {name: shape(each, depth - 1) for name, each in value.items()}
    if isinstance(value, list) and depth:
        return [shape(value[0], depth - 1)] if value else []
    return type(value).__name__


def test_the_emulator_answers_queries_as_recorded(place):
    place.org.rest_rows = 10
    [first, second] = [answer["response"] for answer in recorded("accounts").values()]
    salesforce = place.source().salesforce
    here = salesforce.client.get(f"{salesforce.root}/query", {"q": "SELECT Id, Name, SystemModstamp FROM Account"})
    keep = ("attributes", "Id", "Name", "SystemModstamp")
    for answer in (first, second):
        answer["records"] = [{name: value for name, value in answer["records"][0].items() if name in keep}]
    assert shape(here) == shape(first)
    while not here["done"]:
        here = salesforce.client.get(here["nextRecordsUrl"])
    assert shape(here) == shape(second)
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000"
    assert all(re.fullmatch(stamp, answer["records"][0]["SystemModstamp"]) for answer in (here, first))


def test_the_emulator_describes_objects_as_recorded(place):
    [told] = [answer["response"] for answer in recorded("describe-sobject").values()]
    here = place.source().salesforce.describe("Account")
    assert set(here) <= set(told)
    fields = {field["name"]: field for field in told["fields"]}
    for field in here["fields"]:
        assert set(field) <= set(fields["Id"])
        if field["name"] in fields and field["name"] not in ("NumberOfEmployees", "Website", "Industry"):
            same = ("name", "soapType", "relationshipName", "custom")
            assert {name: field[name] for name in same} == {name: fields[field["name"]][name] for name in same}
