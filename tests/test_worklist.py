"""The worklist for people: every row where it belongs, links that lead to records, no text that runs as a formula."""

from __future__ import annotations

import csv
import re
import zipfile
from datetime import date
from decimal import Decimal
from xml.etree import ElementTree

import duckdb
import pytest

from dagster_project import cli, worklist
from dagster_project.settings import Settings, UserError
from tests.hand_made import make, settings_in
from tests.test_publishing import passed, publishing

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
ROW = {
    "worklist_rank": 1, "exception_id": "no_amount/006A/2025-06-01", "rule_id": "no_amount", "sentence": "No amount.",
    "severity": "error", "owner": "deal owner", "evidence": "amount 0.00", "opportunity_id": "006A",
    "opportunity_name": "One", "account_id": "001A", "account_name": "Acme", "source_system": "salesforce",
    "rep_id": "r1", "rep_name": "Ann",
    "team": "East", "segment": "SMB", "stage": "Proposal", "outcome": "open", "forecast_category": "commit",
    "close_date": date(2025, 8, 31), "amount_base": Decimal("100.00"), "forecast_amount_at_stake": Decimal("55.00"),
    "first_seen_date": date(2025, 6, 1), "days_standing": 30,
}  # fmt: skip
TYPES = {
    "worklist_rank": "integer", "close_date": "date", "amount_base": "decimal(18, 2)", "days_standing": "integer",
    "forecast_amount_at_stake": "decimal(18, 2)", "first_seen_date": "date",
}  # fmt: skip


def published(folder, rows: list[dict], **changed) -> Settings:
    """A release whose worklist holds these rows, ROW where they are silent."""
    settings = make(settings_in(folder), [{}])
    with duckdb.connect(str(settings.warehouse)) as connection:
        columns = ", ".join(f"{name} {TYPES.get(name, 'varchar')}" for name in ROW)
        connection.execute(f"create schema hygiene; create table hygiene.worklist ({columns})")
        for number, row in enumerate(rows, start=1):
            values = list({**ROW, "worklist_rank": number, **row}.values())
            connection.execute(f"insert into hygiene.worklist values ({', '.join('?' * len(values))})", values)
    publishing.publish(passed(settings))
    return Settings(warehouse=settings.warehouse, published=settings.published, **changed)


def told(settings: Settings) -> list[dict]:
    with (settings.published / "worklist" / "worklist.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def book(settings: Settings) -> dict[str, list[list]]:
    """Sheets by name, cells by row, read from the file's own XML; formulas would show as `=…`."""
    sheets = {}
    with zipfile.ZipFile(settings.published / "worklist" / "worklist.xlsx") as file:
        strings = [
            "".join(text.text or "" for text in item.iter(f"{MAIN}t"))
            for item in ElementTree.fromstring(file.read("xl/sharedStrings.xml"))
        ]
        names = [
            sheet.get("name") for sheet in ElementTree.fromstring(file.read("xl/workbook.xml")).iter(f"{MAIN}sheet")
        ]
        for number, name in enumerate(names, start=1):
            tree = ElementTree.fromstring(file.read(f"xl/worksheets/sheet{number}.xml"))
            sheets[name] = [[cell_of(cell, strings) for cell in row] for row in tree.iter(f"{MAIN}row")]
    return sheets


def cell_of(cell, strings: list[str]):
    assert cell.find(f"{MAIN}f") is None, "a formula"
    value = cell.find(f"{MAIN}v")
    return None if value is None else strings[int(value.text)] if cell.get("t") == "s" else float(value.text)


def links(settings: Settings) -> list[str]:
    with zipfile.ZipFile(settings.published / "worklist" / "worklist.xlsx") as file:
        parts = [file.read(name).decode() for name in file.namelist() if name.startswith("xl/worksheets/_rels/")]
    return re.findall(r'Target="([^"]+)"', "".join(parts))


def test_a_sheet_a_rep_and_an_overview_that_counts_each_deal_once(tmp_path):
    rows = [
        {"rep_id": "r2", "rep_name": "Bob", "opportunity_id": "006B", "forecast_amount_at_stake": 70},
        {},
        {"rule_id": "no_contact", "sentence": "No contact.", "severity": "warning"},
        {"opportunity_id": "006C", "forecast_amount_at_stake": 45},
    ]
    settings = published(tmp_path, rows)
    story = worklist.write(settings, currency="USD")
    sheets = book(settings)
    assert list(sheets) == ["Overview", "Ann", "Bob"]
    reps = {row[0]: row[1:] for row in sheets["Overview"] if row and len(row) == 7}
    assert reps["Ann"] == ["East", 3, 2, 1, 2, 100] and reps["Bob"] == ["East", 1, 1, 0, 1, 70]
    assert reps["No amount."] == ["error", 3, 3, 0, 3, 170] and reps["No contact."] == ["warning", 1, 0, 1, 1, 55]
    assert [row[0] for row in sheets["Ann"]] == ["Rank", 2, 3, 4]
    assert "4 exceptions stand against 3 deals of 2 reps, with 170 USD" in story
    for part in ("worklist.csv", "worklist.xlsx", "make sql Q=", "WAREHOUSE_CRM_URLS"):
        assert part in story
    assert [row["worklist_rank"] for row in told(settings)] == ["1", "2", "3", "4"]


def test_records_link_to_their_crm(tmp_path):
    rows = [
        {},
        {"source_system": "hubspot", "opportunity_id": "hubspot-77"},
        {"source_system": "acme", "opportunity_id": "a/1"},
    ]
    urls = (
        ("salesforce", "https://acme.lightning.force.com/"),
        ("hubspot", "https://app.hubspot.com/contacts/123"),
        ("acme", "https://crm.acme.com/?deal={id}"),
    )
    settings = published(tmp_path, rows, crm_urls=urls)
    story = worklist.write(settings)
    expected = [
        "https://acme.lightning.force.com/lightning/r/Opportunity/006A/view",
        "https://app.hubspot.com/contacts/123/record/0-3/77",
        "https://crm.acme.com/?deal=a%2F1",
    ]
    assert [row["crm_url"] for row in told(settings)] == expected
    assert links(settings) == expected and "WAREHOUSE_CRM_URLS" not in story


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\uff1d1"])
def test_no_text_is_a_formula(tmp_path, text):
    settings = published(tmp_path, [{"opportunity_name": text, "evidence": text, "rep_name": text, "team": text}])
    worklist.write(settings)
    [row] = told(settings)
    for column in ("opportunity_name", "evidence", "rep_name", "team"):
        assert row[column].startswith("'")
    cells = [cell for sheet in book(settings).values() for line in sheet for cell in line if isinstance(cell, str)]
    assert not [cell for cell in cells if cell.strip(" ").startswith(worklist.FORMULA)]


def test_a_negative_number_stays_a_number(tmp_path):
    settings = published(tmp_path, [{"amount_base": Decimal("-5.00")}])
    worklist.write(settings)
    assert told(settings)[0]["amount_base"] == "-5.00" and -5.0 in book(settings)["Ann"][1]


@pytest.mark.parametrize(
    ("names", "sheets"),
    [
        (["Ann", "ANN", "ann"], ["Ann", "ANN (2)", "ann (3)"]),
        (["A" * 40, "A" * 40], ["A" * 31, "A" * 27 + " (2)"]),
        (["[a]:b*c?d/e\\f"], ["a b c d e f"]),
        (["'Tis", "''", ""], ["Tis", "Rep", "Rep (2)"]),
        (["Overview", "History"], ["Overview (2)", "History (2)"]),
        (["Zoë Ćosić", "李\n雷"], ["Zoë Ćosić", "李 雷"]),
    ],
)
def test_sheet_names_are_such_as_excel_takes(names, sheets):
    assert worklist.sheet_names(names) == sheets


def test_an_odd_name_is_still_a_link_to_its_sheet(tmp_path):
    settings = published(tmp_path, [{"rep_name": "Pat O'Neil [EMEA]"}])
    worklist.write(settings)
    assert list(book(settings)) == ["Overview", "Pat O'Neil EMEA"]
    with zipfile.ZipFile(settings.published / "worklist" / "worklist.xlsx") as file:
        assert "'Pat O''Neil EMEA'!A1" in file.read("xl/worksheets/sheet1.xml").decode().replace("&apos;", "'")


def test_long_and_missing_texts_fit_a_cell(tmp_path):
    settings = published(tmp_path, [{"evidence": "x" * 40_000, "opportunity_name": None, "account_name": None}])
    worklist.write(settings)
    assert "x" * worklist.CELL in book(settings)["Ann"][1]


def test_a_clean_company_has_an_empty_worklist(tmp_path):
    settings = published(tmp_path, [])
    assert worklist.write(settings).startswith("0 exceptions")
    assert told(settings) == [] and list(book(settings)) == ["Overview"]


def test_a_second_worklist_replaces_the_first_and_leaves_no_draft(tmp_path):
    settings = published(tmp_path, [{}])
    worklist.write(settings), worklist.write(settings)
    assert sorted(path.name for path in (settings.published / "worklist").iterdir()) == [
        "worklist.csv",
        "worklist.xlsx",
    ]


def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys):
    settings = settings_in(tmp_path)
    with pytest.raises(UserError, match="nothing is published"):
        worklist.write(settings)
    publishing.publish(passed(make(settings, [{}])))
    with pytest.raises(UserError, match="no worklist yet"):
        worklist.write(settings)
    (tmp_path / "file").write_text("")
    settings = published(tmp_path / "other", [{}])
    with pytest.raises(UserError, match="cannot write the worklist"):
        worklist.write(settings, tmp_path / "file" / "folder")
    monkeypatch.setenv("WAREHOUSE_PATH", str(settings.warehouse))
    monkeypatch.setenv("WAREHOUSE_PUBLISHED", str(settings.published))
    assert cli.main(["worklist", "--to", str(tmp_path / "out")]) == 0
    assert "worklist.xlsx" in capsys.readouterr().out and (tmp_path / "out" / "worklist.csv").exists()
