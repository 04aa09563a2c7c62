"""A build that adds what came since ends where one that takes everything anew would have ended."""

from __future__ import annotations

from datetime import date

import pytest

from tests.golden.company import EXPORTS, HERE, golden_company_in, replace_seeds
from tests.warehouse.company import Company

CAUGHT_UP = (
    "--select", "+fct_activities", "+fct_pipeline_movements", "+fct_stage_stays", "--indirect-selection", "cautious",
)  # fmt: skip
# which rows were built anew and since when a key stands for what it does: of the way, not of the result
OF_THE_WAY = ("_touched", "_revalued", "_keys", "int_activities_logged", "int_loads")
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


def write(folder, as_of: str, files: dict[str, str], mapping: str = MAPPING):
    exported = folder / "export"
    exported.mkdir(exist_ok=True)
    (exported / "mapping.yml").write_text(mapping.format(as_of=as_of))
    for name, text in files.items():
        (exported / f"{name}.csv").write_text(text)
    return exported


def replaced(files: dict[str, str], changes: dict[str, dict[str, str]]) -> dict[str, str]:
    later = dict(files)
    for table, lines in changes.items():
        for old, new in lines.items():
            assert old in later[table]
            later[table] = later[table].replace(old, new)
    return later


COLUMNS = ("rep_id", "account_id", "opportunity_id", "contact_id", "is_completed", "is_two_way", "activity_date")


def activities(company: Company) -> dict[str, dict]:
    rows = company.query(f"select activity_id, {', '.join(COLUMNS)} from core.fct_activities")
    return {name: dict(zip(COLUMNS, values, strict=True)) for name, *values in rows}


def test_whatever_changed_between_two_loads_is_caught_up_with(folder):
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    company = Company(folder, sources=("files",), files=write(folder, "2025-03-30", EXPORT)).build(*CAUGHT_UP)
    before = activities(company)
    write(folder, "2025-04-06", replaced(EXPORT, REPLACED))
    after = activities(company.build(*CAUGHT_UP))
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
    assert after == activities(company.build(*CAUGHT_UP, start_over=True))


def result(company: Company) -> dict[str, tuple[int, str]]:
    """What was built, by table, whichever way it came about."""
    tables = company.contents("intermediate", "core")
    return {name: what for name, what in tables.items() if not name.endswith(OF_THE_WAY)}


DEALS_MAPPING = """
version: 1
source: small
timezone: UTC
currency: USD
as_of: {as_of}
stages: [{{stage: Proposal}}, {{stage: Won, outcome: won}}, {{stage: Lost, outcome: lost}}]
tables:
  users:
    files: users.csv
    columns: {{user_id: id, email: email, name: id, team: team}}
  accounts:
    files: accounts.csv
    columns: {{account_id: id, domain: domain}}
  opportunities:
    files: deals.csv
    columns: {{opportunity_id: id, stage: stage, account_id: account, owner_id: owner, amount: amount, currency_code: currency, created_at: created, close_date: close, merged_into_id: merged}}
  opportunity_history:
    files: history.csv
    columns: {{opportunity_id: id, field: field, old_value: old, new_value: new, changed_at: at}}
  currency_rates:
    files: rates.csv
    columns: {{from_currency: from, to_currency: to, valid_from: since, rate: rate, rate_type: kind}}
"""
DEALS = {
    "users": "id,email,team\nr1,r1@x.example,East\nr2,r2@x.example,East\nr3,r3@x.example,East\nr4,r4@x.example,East\n",
    "accounts": "id,domain\nA1,acme.example\n",
    "rates": "from,to,since,rate,kind\nEUR,USD,2025-01-01,1.10,plan\nGBP,USD,2025-01-01,1.30,plan\nGBP,USD,2025-04-03,1.40,plan\n",
    "deals": """id,stage,account,owner,amount,currency,created,close,merged
as ever,Proposal,A1,r1,100,USD,2025-02-03,2025-06-30,
amount changed,Proposal,A1,r1,100,USD,2025-02-03,2025-06-30,
owner is another,Proposal,A1,r3,100,USD,2025-02-03,2025-06-30,
earlier owner is another,Proposal,A1,r1,100,USD,2025-02-03,2025-06-30,
account is another,Proposal,A2,r1,100,USD,2025-02-03,2025-06-30,
change lay ahead,Proposal,A1,r1,300,USD,2025-02-03,2025-06-30,
merged,Proposal,A1,r1,100,USD,2025-02-03,2025-06-30,
survivor,Proposal,A1,r1,100,USD,2025-02-03,2025-06-30,
rate lay ahead,Proposal,A1,r1,100,GBP,2025-02-03,2025-06-30,
rate was told late,Proposal,A1,r1,100,EUR,2025-02-03,2025-06-30,
team is another,Proposal,A1,r4,100,USD,2025-02-03,2025-06-30,
""",
    "history": """id,field,old,new,at
earlier owner is another,owner_id,r3,r1,2025-03-01 10:00:00
change lay ahead,amount,100,300,2025-04-02 10:00:00
""",
}
DEALS_REPLACED = {
    "users": {"r3@x": "r2@x", "r4@x.example,East": "r4@x.example,West"},
    "accounts": {"A1,acme.example\n": "A1,acme.example\nA2,acme.example\n"},
    "rates": {"EUR,USD,2025-01-01,1.10,plan\n": "EUR,USD,2025-01-01,1.10,plan\nEUR,USD,2025-02-15,1.20,plan\n"},
    "deals": {
        "amount changed,Proposal,A1,r1,100": "amount changed,Proposal,A1,r1,200",
        "2025-06-30,\nsurvivor": "2025-06-30,survivor\nsurvivor",
    },
}
HISTORY_CHANGED = {
    "amount changed", "owner is another", "earlier owner is another", "account is another", "change lay ahead", "merged",
    "survivor",
}  # fmt: skip
MONEY_CHANGED = {"rate lay ahead", "rate was told late", "team is another"}


def test_whatever_changed_about_a_deal_is_caught_up_with(folder):
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    export = write(folder, "2025-03-30", DEALS, DEALS_MAPPING)
    company = Company(folder, sources=("files",), files=export).build(*CAUGHT_UP)
    before = rows_by_deal(company)
    write(folder, "2025-04-06", replaced(DEALS, DEALS_REPLACED), DEALS_MAPPING)
    company.build(*CAUGHT_UP)
    assert company.caught_up_from is not None
    after = rows_by_deal(company)
    for table, changed in {
        "fct_opportunity_states": HISTORY_CHANGED - {"survivor"},
        "fct_pipeline_movements": HISTORY_CHANGED - {"account is another", "survivor"} | MONEY_CHANGED,
    }.items():
        assert {deal for deal in after[table] if after[table][deal] != before[table][deal]} == changed
    for table, deals in {"touched": HISTORY_CHANGED, "revalued": HISTORY_CHANGED | MONEY_CHANGED}.items():
        assert {deal for (deal,) in company.query(f"from intermediate.int_opportunities_{table}")} == deals
    caught_up = result(company)
    assert caught_up == result(company.build(*CAUGHT_UP, start_over=True))


def rows_by_deal(company: Company) -> dict[str, dict[str, list[tuple]]]:
    found = {}
    for table in ("fct_opportunity_states", "fct_pipeline_movements"):
        found[table] = {}
        for deal, *row in company.query(f"from core.{table} order by all"):
            found[table].setdefault(deal, []).append(tuple(row))
    return found


def test_every_hard_case_export_by_export_is_as_at_once(folder, golden_company):
    """The golden company: between its exports stages are reordered, deals merged, deleted, restored, handed over."""
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    company = golden_company_in(folder)
    company.build("--select", "resource_type:seed", files=HERE / "exports" / EXPORTS[0])
    replace_seeds(company)
    for export in EXPORTS:
        company.build(*CAUGHT_UP, "--exclude", "resource_type:seed", files=HERE / "exports" / export)
    assert company.caught_up_from is not None
    caught_up, at_once = result(company), result(golden_company)
    assert caught_up == {name: what for name, what in at_once.items() if name in caught_up}
    assert {"core.fct_opportunity_states", "core.fct_stage_stays", "core.fct_activities"} <= caught_up.keys()


def test_the_demo_company_day_by_day_is_the_demo_company_at_once(folder):
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    daily = Company(folder, demo_size="tiny", demo_until=date(2025, 10, 20)).build(*CAUGHT_UP)
    for until in (date(2025, 10, 21), date(2025, 11, 3), None):
        daily.build(*CAUGHT_UP, demo_until=until)
        assert daily.caught_up_from is not None
        logged = daily.one("select count(*) from intermediate.int_activities_logged")
        touched = daily.one("select count(*) from intermediate.int_activities_touched where is_written")
        assert 0 < touched < logged / 2
        deals, touched = (
            daily.one(f"select count(*) from intermediate.{table}")
            for table in ("int_opportunities", "int_opportunities_touched")
        )
        assert 0 < touched < deals / 2
    caught_up = result(daily)
    assert caught_up == result(daily.build(*CAUGHT_UP, start_over=True))
    assert {
        "core.fct_activities",
        "core.fct_pipeline_movements",
        "intermediate.int_opportunity_changes",
    } <= caught_up.keys()
    assert daily.one(
        "select count(*) from core.fct_activities where is_two_way and direction = 'outbound' and type = 'email'"
    )


def test_whatever_cannot_be_added_to_starts_over(folder):
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    company = Company(folder, sources=("files",), files=write(folder, "2025-03-30", EXPORT)).build(*CAUGHT_UP)
    assert company.caught_up_from is None, "nothing stood"
    write(folder, "2025-03-30", EXPORT | {"accounts": "id,domain\nA1,acme.example\nA2,mended.example\n"})
    assert company.build(*CAUGHT_UP).caught_up_from is None, "a correction"
    assert company.build(*CAUGHT_UP).caught_up_from is not None
    company.build("--select", "+int_activities_logged")
    assert company.build(*CAUGHT_UP).caught_up_from is None, "a part stood elsewhere"
