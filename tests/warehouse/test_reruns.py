"""What a second run may change: nothing, where nothing is new; and of a late row exactly the weeks it belongs to."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest

from tests.warehouse.company import Company

MAPPING = """
version: 1
source: small
timezone: UTC
as_of: {as_of}
stages:
  - {{stage: Prospecting, is_pipeline: false}}
  - {{stage: Proposal}}
  - {{stage: Won, outcome: won}}
  - {{stage: Lost, outcome: lost}}
tables:
  users:
    files: users.csv
    columns: {{user_id: id, name: id, team: team, segment: team, start_date: start, role: {{constant: rep}}}}
  opportunities:
    files: deals.csv
    columns: {{opportunity_id: id, stage: stage, amount: amount, owner_id: owner, created_at: created, close_date: close, last_modified_at: modified}}
  opportunity_history:
    files: history.csv
    columns: {{opportunity_id: id, field: field, old_value: old, new_value: new, changed_at: at}}
"""
USERS = "id,team,start\nann,North,2024-01-01\nbob,South,2024-01-01\n"
DEALS = """id,stage,amount,owner,created,close,modified
D1,Proposal,100,ann,2025-02-03,2025-06-30,2025-02-03
D2,Won,40,bob,2025-02-04,2025-03-20,2025-03-20
D3,Lost,70,ann,2025-02-05,2025-03-31,2025-03-12
"""
HISTORY = """id,field,old,new,at
D1,stage,Prospecting,Proposal,2025-02-10 10:00:00
D2,stage,Prospecting,Proposal,2025-02-11 10:00:00
D2,stage,Proposal,Won,2025-03-20 10:00:00
D2,amount,50,40,2025-03-19 10:00:00
D3,stage,Prospecting,Proposal,2025-02-12 10:00:00
D3,stage,Proposal,Lost,2025-03-12 10:00:00
"""
MARTS = ("core", "leading_indicators", "lagging_indicators")


@pytest.fixture(scope="module")
def parsed_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("small")


@pytest.fixture
def folder(parsed_folder):
    """A warehouse folder without a warehouse; dbt's parsed project stays in it."""
    (parsed_folder / "warehouse.duckdb").unlink(missing_ok=True)
    return parsed_folder


@pytest.fixture
def export(tmp_path):
    """Writes an export; the files of an earlier one are replaced."""
    exported = tmp_path / "export"
    exported.mkdir()

    def write(as_of: str, deals: str = DEALS, history: str = HISTORY):
        (exported / "mapping.yml").write_text(MAPPING.format(as_of=as_of))
        for name, text in (("users", USERS), ("deals", deals), ("history", history)):
            (exported / f"{name}.csv").write_text(text)
        return exported

    return write


def _waterfall(company: Company) -> dict[tuple, tuple]:
    rows = company.query(
        "select level, level_id, week_start_date, target_fiscal_quarter, starting_amount, created_amount, increased_amount, "
        "decreased_amount, won_amount, lost_amount, ending_amount from leading_indicators.weekly_pipeline_waterfall"
    )
    return {row[:4]: row[4:] for row in rows}


def test_a_run_with_nothing_new_changes_no_row(folder, export):
    company = Company(folder, sources=("files",), files=export("2025-03-31")).build()
    before = company.contents(*MARTS)
    assert before["core.fct_opportunities"][0] == 3
    assert company.build().contents(*MARTS) == before


def test_a_late_backdated_row_moves_its_weeks_and_no_others(folder, export):
    company = Company(folder, sources=("files",), files=export("2025-03-30")).build()
    before = _waterfall(company)
    late = HISTORY + "D1,amount,100,150,2025-03-05 10:00:00\n"
    export(
        "2025-04-06",
        DEALS.replace("Proposal,100", "Proposal,150").replace("2025-06-30,2025-02-03", "2025-06-30,2025-04-02"),
        late,
    )
    after = _waterfall(company.build())

    learned_week = date(2025, 3, 31)
    changed = {key for key in before if after.get(key) != before[key]}
    assert changed == {
        key
        for key in before
        if key[2] >= date(2025, 3, 3) and key[3] == "FY2025-Q2" and key[1] in ("all", "North", "ann")
    }
    assert all(key[2] >= learned_week for key in after.keys() - before.keys())
    company_row = after[("company", "all", date(2025, 3, 3), "FY2025-Q2")]
    assert company_row == (Decimal(100), 0, Decimal(50), 0, 0, 0, Decimal(150))

    restated = company.query(
        "select opportunity_id, field, valid_from_at, old_value, new_value, first_week_start_date from core.restatements where field = 'amount'"
    )
    assert restated == [("D1", "amount", datetime(2025, 3, 5, 10), "100.00", "150.00", date(2025, 3, 3))]


def test_editing_todays_record_does_not_rewrite_the_past(folder, export):
    """Owner and amount edited in the live record, with no history of them: last month's rows stay as they were."""
    company = Company(folder, sources=("files",), files=export("2025-03-30")).build()
    before = _waterfall(company)
    export(
        "2025-04-06",
        DEALS.replace("Proposal,100,ann", "Proposal,999,bob").replace("2025-06-30,2025-02-03", "2025-06-30,2025-04-02"),
    )
    after = _waterfall(company.build())
    assert {key: after.get(key) for key in before} == before
    assert company.one("select count(*) from core.restatements") == 0
    movements = dict(
        company.query(
            "select movement, amount_base from core.fct_pipeline_movements where movement_date = date '2025-04-02' and opportunity_id = 'D1'"
        )
    )
    assert movements == {"reassigned_out": -100, "reassigned_in": 100, "increased": 899}


def test_a_mended_mapping_is_a_correction_not_a_movement(folder, export):
    """The first mapping read the wrong column as the amount; once mended it is as if it had always been right."""
    wrong = export("2025-03-30", DEALS.replace("Proposal,100", "Proposal,1"))
    company = Company(folder, sources=("files",), files=wrong).build()
    export("2025-03-30")
    company.build()
    created = company.one(
        "select amount_base from core.fct_pipeline_movements where opportunity_id = 'D1' and movement = 'created'"
    )
    assert created == 100
    assert (
        company.one(
            "select count(*) from core.fct_pipeline_movements where movement in ('increased', 'decreased') and opportunity_id = 'D1'"
        )
        == 0
    )


def test_an_earlier_as_of_tells_what_was_known_then(folder, export):
    company = Company(folder, sources=("files",), files=export("2025-03-30")).build(as_of=datetime(2025, 3, 1))
    assert company.query("select outcome, count(*) from core.fct_opportunities group by 1") == [("open", 3)]
    assert company.one("select max(week_start_date) from leading_indicators.weekly_pipeline_waterfall") == date(
        2025, 2, 24
    )
