"""The HubSpot connector against an emulated portal: everything arrives once, changes and faults included."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from starlette.responses import JSONResponse
from starlette.routing import Route

from dagster_project.settings import UserError
from dagster_project.sources.api import QuotaExhausted, Secret, Unavailable
from dagster_project.sources.api.fields import FieldMap
from dagster_project.sources.demo import DemoSource
from dagster_project.sources.hubspot.access import HubspotAccess
from dagster_project.sources.hubspot.shapes import TABLES
from dagster_project.sources.hubspot.source import HubspotSource
from tests.emulators import hubspot
from tests.emulators.base import serving
from tests.sources.pulls import Warehouse, contents, landed, recording, violations
from tests.warehouse.company import Company

NEVER = "text that nothing may print"


@pytest.fixture(scope="module")
def company_folder(tmp_path_factory) -> Path:
    """A company of forty deals."""
    whole = DemoSource("tiny", 42, cache=tmp_path_factory.mktemp("demo")).prepare()
    return hubspot.Portal(whole).reduced(tmp_path_factory.mktemp("reduced"), deals=40)


def with_plans(portal: hubspot.Portal) -> hubspot.Portal:
    """Gives an owner goals (one by owner, one by user, one that is no quota) and forecast submissions."""
    [owner] = portal.rows(f"select id, userId from {portal.present('owner')} where not archived order by id limit 1")
    march = {"hs_start_datetime": datetime(2025, 3, 1), "hs_end_datetime": datetime(2025, 3, 31, 23, 59, 59, 999000)}
    april = {"hs_start_datetime": datetime(2025, 4, 1), "hs_end_datetime": datetime(2025, 5, 1)}
    quota = {"hs_goal_type": "sales_quota", "hs_kpi_unit_type": "currency", "hs_goal_target_currency_code": "EUR"}
    stamps = {"createdate": portal.days[0], "hs_lastmodifieddate": portal.days[0], "archived": False}
    told = {
        "501": {**quota, **march, "hubspot_owner_id": owner["id"], "hs_target_amount": 1000},
        "502": {**quota, **april, "hs_assignee_user_id": owner["userId"], "hs_target_amount": 2000},
        "503": {**march, "hs_goal_type": "calls_made", "hubspot_owner_id": owner["id"], "hs_target_amount": 40},
    }
    for id, goal in told.items():
        portal.change("goal_target", id, **stamps, **goal)
    quarter = {"hs_forecast_start_date": "1735689600000", "hs_milestone": "quarterly"}  # 2025-01-01
    for id, pipeline, amount in (("601", "default", 700), ("602", "partners", 50)):
        told = {"hubspot_owner_id": owner["id"], "hs_deal_pipeline_id": pipeline, "hs_amount": amount}
        portal.change("forecast_submission", id, **stamps, **quarter, **told)
    return portal


@pytest.fixture
def portal(company_folder) -> hubspot.Portal:
    """In pages of ten."""
    portal = with_plans(hubspot.Portal(company_folder))
    portal.page = 10
    return portal


@pytest.fixture
def server(portal):
    with serving(hubspot.routes(portal), portal, hubspot.error) as server:
        yield server


class Puller:
    """Makes sources over one folder, as run after run does; `said` and `waits` are what they told and waited for."""

    def __init__(self, url: str, folder: Path) -> None:
        self.access = HubspotAccess(url, Secret(hubspot.TOKEN))
        self.folder, self.said, self.waits = folder / "pull" / "hubspot", [], []

    def source(self, fields: FieldMap | None = None) -> HubspotSource:
        return HubspotSource(self.access, self.folder, self.said.append, fields, self.waits.append)


@pytest.fixture
def puller(server, tmp_path) -> Puller:
    return Puller(server.url, tmp_path)


@pytest.fixture(scope="module")
def undisturbed(company_folder, tmp_path_factory) -> dict[str, list[tuple]]:
    portal = with_plans(hubspot.Portal(company_folder))
    with serving(hubspot.routes(portal), portal, hubspot.error) as server:
        return contents(Puller(server.url, tmp_path_factory.mktemp("undisturbed")).source())


def test_what_is_pulled_is_the_newest_version_of_every_record(portal, server, puller, tmp_path):
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    archived = {row["id"] for row in portal.rows(f"select id from {portal.present('deal')} where archived")}
    assert len(archived) >= 2
    for table in TABLES:
        columns = ", ".join(f'"{name}"' for name in table.columns)
        expected = [tuple(row.values()) for row in portal.rows(f"select {columns} from {portal.present(table.name)}")]
        if table.name in ("deal_company", "deal_contact"):  # they go with an archived deal
            expected = [row for row in expected if row[0] not in archived]
        found = warehouse.query(f"select {columns} from {table.relation}")
        assert expected, table.name
        assert sorted(found, key=repr) == sorted(expected, key=repr), table.name
    assert len(server.asked("GET /crm/v3/objects/deals")) > 5  # pages, not one answer
    assert warehouse.query("select * from raw_hubspot.rejected_rows") == []


def test_every_answer_is_as_the_description_says(portal, server, puller):
    portal.keep_answers = True
    contents(puller.source())
    described = {
        "deals": "crm-deals", "companies": "crm-companies", "contacts": "crm-contacts", "calls": "engagement-calls",
        "meetings": "engagement-meetings", "emails": "engagement-emails", "tasks": "engagement-tasks",
    }  # fmt: skip
    checked = 0
    for name, file in described.items():
        found = [answer for answer in portal.answers if answer[0].startswith(f"/crm/v3/objects/{name}")]
        assert violations(f"hubspot/hubspot-{file}.yml", found) == []
        checked += len(found)
    # Goals and forecasts have no description here; all objects are told in one shape.
    for name in ("goal_targets", "forecasts"):
        path = f"/crm/v3/objects/{name}"
        as_deals = [("/crm/v3/objects/deals", *answer[1:]) for answer in portal.answers if answer[0] == path]
        assert violations("hubspot/hubspot-crm-deals.yml", as_deals) == []
        assert len(as_deals) == 2
    associations = [answer for answer in portal.answers if "associations" in answer[0]]
    assert violations("hubspot/hubspot-crm-associations.yml", associations) == []
    assert checked > 30
    assert len(associations) > 10


def test_a_pull_after_which_nothing_changed_lands_nothing_and_asks_for_no_history(puller, server, tmp_path):
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    server.requests.clear()
    assert landed(warehouse.land(puller.source())) == {}
    assert server.asked("propertiesWithHistory") == []
    assert server.asked("batch/read") == server.asked("associations")


def test_changed_deleted_merged_and_restored_records_arrive_and_no_others(portal, server, puller, tmp_path):
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    live = [row["id"] for row in portal.rows(f"select id from {portal.present('deal')} where not archived order by id")]
    [gone, *_] = [
        row["id"] for row in portal.rows(f"select id from {portal.present('deal')} where archived order by id")
    ]
    [contact] = portal.rows(
        f"select contact_id from {portal.present('deal_contact')} where deal_id <> '{live[5]}' limit 1"
    )
    before = portal.clock
    portal.clock = now = before + timedelta(hours=30)

    portal.change("deal", live[0], dealstage="contractsent", hs_lastmodifieddate=now)
    row = {"property": "dealstage", "value": "contractsent", "changed_at": now, "source_type": "CRM_UI"}
    portal.add("deal_property_history", deal_id=live[0], updated_by_user_id="60000001", **row)
    portal.change("deal", live[1], archived=True)  # archiving moves no modified date
    portal.change("deal", gone, archived=False)  # nor does restoring
    portal.change("deal", live[2], archived=True)
    portal.add("merged_deal", merged_deal_id=live[2], deal_id=live[3], merged_at=now)
    portal.change("deal", live[3], hs_lastmodifieddate=now)
    portal.remove("deal", live[4])  # deleted for good
    portal.add("deal_contact", deal_id=live[5], contact_id=contact["contact_id"], label="Champion")  # no modified date
    call = portal.rows(f"select id from {portal.present('engagement_call')} order by id limit 1")[0]["id"]
    portal.change("engagement_call", call, hs_call_duration=1000, hs_lastmodifieddate=now)

    report = warehouse.land(puller.source())
    found = landed(report)
    assert found.pop("deal") == (5, 1)
    assert found.pop("deal_property_history") == (1, 0)
    assert found.pop("merged_deal") == (1, 0)
    assert found.pop("engagement_call") == (1, 0)
    contacts = found.pop("deal_contact")
    assert contacts[0] >= 1  # the new one, and those of the restored deal
    found.pop("deal_company")
    assert found == {}
    newest = dict(
        warehouse.query(
            "select id, case when _is_deleted then 'deleted' when archived then 'archived' else dealstage end "
            "from raw_hubspot.deal qualify row_number() over (partition by id order by _version desc) = 1"
        )
    )
    assert newest[live[0]] == "contractsent"
    assert [newest[live[number]] for number in (1, 2, 4)] == ["archived", "archived", "deleted"]
    assert newest[gone] not in ("archived", "deleted")
    merges = warehouse.query(
        f"select deal_id, merged_at from raw_hubspot.merged_deal where merged_deal_id = '{live[2]}'"
    )
    assert merges == [(live[3], now)]
    assert (
        len(server.asked("objects/deals/batch/read")) == 2
    )  # the changed live deals at once, the archived ones at once


def test_a_search_beyond_its_ceiling_finds_every_record(portal, puller, tmp_path):
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    portal.ceiling, portal.clock = 200, portal.clock + timedelta(hours=30)
    portal.page = 4
    companies = [row["id"] for row in portal.rows(f"select id from {portal.present('company')}")]
    for id in companies:  # all at one instant, so that no window of time is small enough
        portal.change("company", id, region="Moon", hs_lastmodifieddate=portal.clock)
    portal.ceiling = len(companies) // 2
    assert landed(warehouse.land(puller.source()))["company"] == (len(companies), 0)


FAULTS = [
    {"kind": "429", "retry_after": 7},
    {"kind": "429"},
    {"kind": "500"},
    {"kind": "drop"},
    {"kind": "truncate"},
    {"kind": "expired"},
    {"kind": "duplicate"},
]


def test_no_fault_loses_or_repeats_a_record(server, puller, undisturbed):
    """Every kind of fault, each at another request of the same pull."""
    for place, fault in enumerate(FAULTS):
        server.faults.add(path="/crm/v3/objects/(deals|contacts)[?]", skip=2 + 2 * place, **fault)
    server.faults.add("500", path="associations", skip=1)
    server.faults.add("drop", path="search|owners")
    assert contents(puller.source()) == undisturbed
    assert len(server.faults.struck) == len(FAULTS) + 2
    assert any(7 <= wait < 9 for wait in puller.waits)


@pytest.mark.parametrize("asked", (17, 43))
def test_a_pull_that_died_is_taken_up_where_it_stood(asked, portal, server, puller, undisturbed, monkeypatch):
    monkeypatch.setattr("dagster_project.sources.api.source.ROWS_PER_PART", 20)
    monkeypatch.setattr("dagster_project.sources.hubspot.streams.GROUP", 20)
    monkeypatch.setattr("dagster_project.sources.api.client.ATTEMPTS", 2)
    server.faults.add("500", skip=asked, times=1000)
    with pytest.raises(Unavailable):
        contents(puller.source())
    server.faults.waiting.clear()
    before = list(server.requests)
    server.requests.clear()
    assert contents(puller.source()) == undisturbed
    again = {request for request in server.asked("/crm/v3/objects/.*[?]") if request in before[:-2]}
    assert len(again) <= 4  # of what had been read, the page or two that stood in memory


def test_a_refused_load_moves_no_cursor(portal, puller, tmp_path):
    warehouse = Warehouse(tmp_path)
    first = warehouse.land(puller.source(), accepted=False)
    again = warehouse.land(puller.source())
    assert landed(again) == landed(first)


def test_daily_quota_stops_cleanly_and_the_next_run_goes_on(portal, server, puller, undisturbed, monkeypatch):
    monkeypatch.setattr("dagster_project.sources.api.source.ROWS_PER_PART", 20)
    portal.daily = [50, 50]
    with pytest.raises(QuotaExhausted) as stopped:
        contents(puller.source())
    assert "run again" in str(stopped.value)
    assert "\n" not in str(stopped.value)
    used = len(server.requests)
    assert used <= 46
    portal.daily = [1000, 1000]
    assert contents(puller.source()) == undisturbed
    assert any("goes on after" in line for line in puller.said)


def test_an_oauth_app_logs_in_anew_when_its_token_expires(portal, server, puller, undisturbed):
    client = {name: value for name, value in hubspot.CLIENT.items()}
    access = HubspotAccess(
        server.url, client_id=client["client_id"], client_secret=Secret(client["client_secret"]),
        refresh_token=Secret(client["refresh_token"]),
    )  # fmt: skip
    server.faults.add("expired", path="objects/deals[?]", skip=2)
    server.faults.add("expired", path="objects/tasks[?]")
    puller.access = access
    assert contents(puller.source()) == undisturbed
    assert portal.issued == 3
    told = " ".join([*puller.said, repr(access), *server.requests])
    assert not [secret for secret in ("app-secret", "refresh-me", "access-1", "access-3") if secret in told]


def test_a_wrong_token_is_one_line_without_it(server, tmp_path):
    puller = Puller(server.url, tmp_path)
    puller.access = HubspotAccess(server.url, Secret(NEVER))
    with pytest.raises(UserError) as refused:
        contents(puller.source())
    line = str(refused.value)
    assert "HUBSPOT_TOKEN" in line
    assert NEVER not in line + repr(puller.access) + repr(puller.source().client)
    assert "\n" not in line
    server.faults.add("expired", times=2)  # this answer names a token
    puller.access = HubspotAccess(server.url, Secret(hubspot.TOKEN))
    with pytest.raises(UserError) as refused:
        contents(puller.source())
    assert hubspot.TOKEN not in str(refused.value)


def test_an_object_without_scope_is_left_out_with_a_warning_but_not_deals(portal, puller):
    portal.closed = {"emails"}
    found = contents(puller.source())
    assert "engagement_email" not in found
    assert found["engagement_call"]
    [warning] = [line for line in puller.said if line.startswith("warning: emails")]
    assert "scopes listed in docs/connect-a-crm.md" in warning
    portal.closed = {"deals"}
    with pytest.raises(UserError, match="scopes listed in docs"):
        contents(Puller(puller.access.url, puller.folder.parent.parent / "other").source())


@pytest.mark.parametrize(("name", "table"), [("goal_targets", "goal_target"), ("forecasts", "forecast_submission")])
def test_goals_and_forecasts_without_scope_are_left_out_with_one_warning(name, table, portal, puller):
    portal.closed = {name}
    found = contents(puller.source())
    assert table not in found
    assert found["deal"]
    [warning] = [line for line in puller.said if "warning" in line]
    assert warning.startswith(f"warning: {name} are not read: ")


def test_a_portal_without_forecasts_is_read_all_the_same(portal, puller, monkeypatch):
    monkeypatch.delitem(hubspot.KINDS, "forecasts")
    assert "forecast_submission" not in contents(puller.source())
    [warning] = [line for line in puller.said if "warning" in line]
    assert "Unable to infer object type from: forecasts" in warning


def test_a_portal_that_does_not_know_contacts_is_not_read(portal, puller, monkeypatch):
    monkeypatch.delitem(hubspot.KINDS, "contacts")
    with pytest.raises(UserError, match="Unable to infer object type from: contacts"):
        contents(puller.source())


def test_goals_and_submissions_are_the_quotas_and_calls_of_a_company_that_has_hubspot_only(
    portal, server, tmp_path, monkeypatch
):
    monkeypatch.setenv("HUBSPOT_URL", server.url)
    monkeypatch.setenv("HUBSPOT_TOKEN", hubspot.TOKEN)
    company = Company(tmp_path, sources=("hubspot",))
    models = ("+fct_quotas", "+fct_forecast_calls")
    company.build("--select", *models, "--indirect-selection", "cautious", start_over=True)
    [owner] = portal.rows(
        f"select 'hubspot-' || id as id from {portal.present('owner')} where not archived order by id limit 1"
    )
    assert company.query(
        """
        select rep_id, team, quota_type, period_start_date, period_end_date, quota_amount, currency_code, source_system
        from core.fct_quotas order by period_start_date
        """
    ) == [
        (owner["id"], None, "full", date(2025, 3, 1), date(2025, 3, 31), 1000, "EUR", "hubspot"),
        (owner["id"], None, "full", date(2025, 4, 1), date(2025, 4, 30), 2000, "EUR", "hubspot"),
    ]
    calls = company.query(
        "select rep_id, scope, fiscal_quarter, commit_amount, submitted_at from core.fct_forecast_calls"
    )
    assert calls == [(owner["id"], "own", "FY2025-Q1", 750, portal.days[0])]


def test_a_property_that_is_gone_turns_null_with_a_warning(portal, puller, tmp_path):
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    portal.hidden = {("deals", "amount")}
    warehouse.land(puller.source())
    amounts = warehouse.query(
        "select amount from raw_hubspot.deal qualify row_number() over (partition by id order by _version desc) = 1"
    )
    assert set(amounts) == {(None,)}
    assert [line for line in warehouse.said if "deals has no amount" in line]


def test_a_value_of_another_type_is_rejected_with_its_row(portal, puller, tmp_path):
    warehouse = Warehouse(tmp_path)
    [deal, *_] = portal.records("deals", archived=False)
    portal.said["deals", deal, "amount"] = "a lot"
    report = warehouse.land(puller.source())
    assert {table.relation: table.rows_rejected for table in report.tables if table.rows_rejected} == {
        "raw_hubspot.deal": 1
    }
    [(column, value, text)] = warehouse.query("select column_name, value, row_text from raw_hubspot.rejected_rows")
    assert (column, value) == ("amount", "a lot")
    assert deal in text


def test_what_was_never_marked_as_changed_is_found_when_all_is_read_again(portal, puller, tmp_path):
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    [company, other, *_] = portal.records("companies", archived=False)
    portal.change("company", company, region="Moon")
    portal.remove("company", other)
    portal.clock += timedelta(days=1)
    assert "company" not in landed(warehouse.land(puller.source()))
    portal.clock += timedelta(days=30)
    assert landed(warehouse.land(puller.source()))["company"] == (1, 1)


def test_a_login_to_another_portal_is_refused(portal, puller, tmp_path):
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    portal.id = 4711
    with pytest.raises(UserError, match="portal 4711, but the warehouse holds rows of portal 147893286"):
        warehouse.land(puller.source())


def test_a_property_of_another_name_fills_its_column_in_every_record_at_once(portal, puller, tmp_path):
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    fields = FieldMap({"company": {"region": "industry", "segment": None}})
    report = landed(warehouse.land(puller.source(fields)))
    [(companies,)] = warehouse.query("select count(distinct id) from raw_hubspot.company")
    assert report == {"company": (companies, 0)}
    newest = "raw_hubspot.company qualify row_number() over (partition by id order by _version desc) = 1"
    assert warehouse.query(f"select count(*) from (select * from {newest}) where region is distinct from industry") == [
        (0,)
    ]
    assert warehouse.query(f"select count(segment) from (select * from {newest})") == [(0,)]


def test_clocks_that_differ_lose_nothing(portal, server, puller, tmp_path):
    """HubSpot's answers are dated ten minutes after its records."""
    server.skew = timedelta(minutes=10)
    warehouse = Warehouse(tmp_path)
    warehouse.land(puller.source())
    [company, *_] = portal.records("companies", archived=False)
    portal.clock += timedelta(seconds=1)
    portal.change("company", company, region="Moon", hs_lastmodifieddate=portal.clock)
    assert landed(warehouse.land(puller.source()))["company"] == (1, 0)


# -- recorded answers --------------------------------------------------------------------------------------------------


def test_recorded_answers_are_read(tmp_path):
    """What a real portal answered, one page an object; what was not recorded is empty."""
    recorded = {
        "deals": recording("hubspot/deals.test.json")["get"]["/crm/v3/objects/deals"],
        "companies": recording("hubspot/companies.test.json")["get"]["/crm/v3/objects/companies"],
        "contacts": recording("hubspot/contacts.test.json")["get"]["/crm/v3/objects/contacts"],
        "tasks": recording("hubspot/tasks.test.json")["get"]["/crm/v3/objects/tasks"],
        "owners": recording("hubspot/owners.test.json")["get"]["/crm/v3/owners"],
        "pipelines": recording("hubspot/fetch-pipelines.test.json")["get"]["/crm/v3/pipelines/deals"],
    }
    names = {
        name: {prop for record in answer["response"]["results"] for prop in record.get("properties", {})}
        for name, answer in recorded.items()
    }
    properties = recording("hubspot/fetch-properties.test.json")["get"]["/crm/v3/properties/companies"]["response"]

    async def answer(request) -> JSONResponse:
        path, archived = request.url.path, request.query_params.get("archived") == "true"
        name = path.split("/")[-1]
        if path.startswith("/crm/v3/properties/"):
            known = [{"name": each} for each in sorted(names.get(name, ()))]
            return JSONResponse(properties if name == "companies" else {"results": known})
        if path == "/account-info/v3/details":
            return JSONResponse({"portalId": 147893286})
        if path == "/crm/v3/pipelines/deals":
            return JSONResponse(recorded["pipelines"]["response"])
        if request.method == "GET" and name in recorded and not archived:
            return JSONResponse(recorded[name]["response"])
        return JSONResponse({"status": "COMPLETE", "results": []})

    with serving([Route("/{path:path}", answer, methods=["GET", "POST"])]) as server:
        puller = Puller(server.url, tmp_path)
        warehouse = Warehouse(tmp_path)
        report = warehouse.land(puller.source())
    tables = {
        "deal": "deals",
        "company": "companies",
        "contact": "contacts",
        "engagement_task": "tasks",
        "owner": "owners",
    }
    for table, name in tables.items():
        [(rows,)] = warehouse.query(f"select count(*) from raw_hubspot.{table}")
        assert rows == len({each["id"] for each in recorded[name]["response"]["results"]}), table
    assert sum(table.rows_rejected for table in report.tables) == 0
    [deal] = [each for each in recorded["deals"]["response"]["results"] if each["properties"]["amount"]][:1]
    [(amount, created, archived)] = warehouse.query(
        f"select amount, createdate, archived from raw_hubspot.deal where id = '{deal['id']}'"
    )
    assert float(amount) == float(deal["properties"]["amount"])
    assert created == datetime.fromisoformat(deal["createdAt"]).replace(tzinfo=None)
    assert archived is False
    stages = warehouse.query("select id, isClosed, probability from raw_hubspot.deal_pipeline_stage")
    assert ("closedwon", True, 1) in [(id, is_closed, int(chance)) for id, is_closed, chance in stages]
