"""A build that adds what came since ends where one that takes everything anew would have ended."""

from __future__ import annotations

from datetime import date

import pytest

from tests.warehouse.company import Company

TO_ACTIVITIES = ("--select", "+fct_activities", "--indirect-selection", "cautious")
MAPPING = """
version: 1
source: small
timezone: UTC
as_of: {as_of}
stages: [{{stage: Proposal}}, {{stage: Won, outcome: won}}, {{stage: Lost, outcome: lost}}]
tables:
  users:
    files: users.csv
    columns: {{user_id: id, email: email, name: id}}
  accounts:
    files: accounts.csv
    columns: {{account_id: id, domain: domain}}
  contacts:
    files: contacts.csv
    columns: {{contact_id: id, account_id: account, email: email}}
  opportunities:
    files: deals.csv
    columns: {{opportunity_id: id, stage: stage, account_id: account, owner_id: owner, created_at: created}}
  activities:
    files: activities.csv
    full: true
    columns: {{activity_id: id, type: type, owner_id: owner, account_id: account, opportunity_id: deal, contact_id: contact, occurred_at: at, direction: direction, outcome: outcome}}
"""
EXPORT = {
    "users": "id,email\n" + "".join(f"r{number},r{number}@x.example\n" for number in range(10)),
    "accounts": "id,domain\nA1,acme.example\n",
    "contacts": "id,account,email\nC1,A1,c1@acme.example\n",
    "deals": "id,stage,account,owner,created\nD1,Proposal,A1,r1,2025-02-03\nD5,Proposal,A1,r1,2025-02-03\n",
    "activities": """id,type,owner,account,deal,contact,at,direction,outcome
answered,email,r0,A1,D1,C1,2025-02-03 10:00:00,outbound,
unanswered,email,r1,A1,D1,C1,2025-02-03 10:00:00,outbound,
deleted,call,r2,A1,D1,C1,2025-02-04 10:00:00,outbound,connected
moved,call,r3,A1,D1,C1,2025-02-05 10:00:00,outbound,connected
handed over,call,r4,A1,D1,C1,2025-02-05 10:00:00,outbound,connected
account known,call,r5,A2,,C1,2025-02-05 10:00:00,outbound,connected
contact known,call,r6,A1,D1,C2,2025-02-05 10:00:00,outbound,connected
deal known,call,r7,A1,D2,C1,2025-02-05 10:00:00,outbound,connected
deal of another,call,r8,,D5,C1,2025-02-05 10:00:00,outbound,connected
of one person,call,r9,A1,D1,C1,2025-02-05 10:00:00,outbound,connected
ahead,meeting,r0,A1,D1,C1,2025-04-01 10:00:00,,
as ever,call,r0,A1,D1,C1,2024-08-01 10:00:00,outbound,connected
""",
}
REPLACED = {  # by table, line by line; what is new comes last
    "activities": {
        "deleted,call,r2,A1,D1,C1,2025-02-04 10:00:00,outbound,connected\n": "",
        "moved,call,r3,A1,D1,C1,2025-02-05": "moved,call,r3,A1,D1,C1,2025-01-05",
        "handed over,call,r4": "handed over,call,r3",
        "as ever": """answer,email,r0,A1,D1,C1,2025-02-10 09:59:00,inbound,
late answer,email,r1,A1,D1,C1,2025-02-10 10:01:00,inbound,
as ever""",
    },
    "accounts": {"A1,acme.example\n": "A1,acme.example\nA2,acme.example\n"},
    "contacts": {"C1,A1,c1@acme.example\n": "C1,A1,c1@acme.example\nC2,A1,c2@acme.example\n"},
    "deals": {"D5,Proposal,A1": "D2,Proposal,A1,r1,2025-02-03\nD5,Proposal,A9"},
    "users": {"r9@x.example": "r8@x.example"},
}
CHANGED = {  # activity, column, before, after
    ("answered", "is_two_way", False, True),
    ("moved", "activity_date", date(2025, 2, 5), date(2025, 1, 5)),
    ("handed over", "rep_id", "r4", "r3"),
    ("account known", "account_id", "A2", "A1"),
    ("contact known", "contact_id", None, "C2"),
    ("deal known", "opportunity_id", None, "D2"),
    ("deal of another", "account_id", "A1", "A9"),
    ("of one person", "rep_id", "r9", "r8"),
    ("ahead", "is_completed", False, True),
    ("ahead", "is_two_way", False, True),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("catching_up")


def write(folder, as_of: str, files: dict[str, str]):
    exported = folder / "export"
    exported.mkdir(exist_ok=True)
    (exported / "mapping.yml").write_text(MAPPING.format(as_of=as_of))
    for name, text in files.items():
        (exported / f"{name}.csv").write_text(text)
    return exported


COLUMNS = ("rep_id", "account_id", "opportunity_id", "contact_id", "is_completed", "is_two_way", "activity_date")


def activities(company: Company) -> dict[str, dict]:
    rows = company.query(f"select activity_id, {', '.join(COLUMNS)} from core.fct_activities")
    return {name: dict(zip(COLUMNS, values, strict=True)) for name, *values in rows}


def test_whatever_changed_between_two_loads_is_caught_up_with(folder):
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    company = Company(folder, sources=("files",), files=write(folder, "2025-03-30", EXPORT)).build(*TO_ACTIVITIES)
    before = activities(company)
    later = dict(EXPORT)
    for table, changes in REPLACED.items():
        for old, new in changes.items():
            assert old in later[table]
            later[table] = later[table].replace(old, new)
    write(folder, "2025-04-06", later)
    after = activities(company.build(*TO_ACTIVITIES))
    assert company.caught_up_from is not None

    changed = {
        (name, column, before[name][column], after[name][column])
        for name in before.keys() & after.keys()
        for column in COLUMNS
        if before[name][column] != after[name][column]
    }
    assert changed == CHANGED
    assert before.keys() - after.keys() == {"deleted"}
    assert after.keys() - before.keys() == {"answer", "late answer"}
    touched = {name for (name,) in company.query("select activity_id from intermediate.int_activities_touched")}
    assert "as ever" not in touched
    assert after == activities(company.build(*TO_ACTIVITIES, start_over=True))


def test_the_demo_company_day_by_day_is_the_demo_company_at_once(folder):
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    daily = Company(folder, demo_size="tiny", demo_until=date(2025, 10, 20)).build(*TO_ACTIVITIES)
    for until in (date(2025, 10, 21), date(2025, 11, 3), None):
        daily.build(*TO_ACTIVITIES, demo_until=until)
        assert daily.caught_up_from is not None
        logged = daily.one("select count(*) from intermediate.int_activities_logged")
        touched = daily.one("select count(*) from intermediate.int_activities_touched where is_written")
        assert 0 < touched < logged / 2
    caught_up = daily.contents("intermediate", "core")
    daily.build(*TO_ACTIVITIES, start_over=True)
    started_over = daily.contents("intermediate", "core")
    for table in ("core.fct_activities", "intermediate.int_activities_matched"):
        assert caught_up[table] == started_over[table]
    assert daily.one(
        "select count(*) from core.fct_activities where is_two_way and direction = 'outbound' and type = 'email'"
    )


def test_whatever_cannot_be_added_to_starts_over(folder):
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    company = Company(folder, sources=("files",), files=write(folder, "2025-03-30", EXPORT)).build(*TO_ACTIVITIES)
    assert company.caught_up_from is None, "nothing stood"
    write(folder, "2025-03-30", EXPORT | {"accounts": "id,domain\nA1,acme.example\nA2,mended.example\n"})
    assert company.build(*TO_ACTIVITIES).caught_up_from is None, "a correction"
    assert company.build(*TO_ACTIVITIES).caught_up_from is not None
    company.build("--select", "+int_activities_logged")
    assert company.build(*TO_ACTIVITIES).caught_up_from is None, "a part stood elsewhere"
