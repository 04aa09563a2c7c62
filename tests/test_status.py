"""The run page: a reader learns what happened, how much money it concerns and what to do, from the page alone."""

from __future__ import annotations

import csv
import re

import pytest

from dagster_project import gate, publishing, status
from dagster_project.settings import Settings
from tests.hand_made import arrive, make, set_deals, settings_in


@pytest.fixture
def settings(tmp_path):
    return make(settings_in(tmp_path), [{}, {"rep_id": None, "amount_base": 4200}, {}])


def run(settings: Settings, run_id: str) -> gate.Outcome:
    lock_date = publishing.served_lock_date(settings)
    gate.run_gate(settings.warehouse, gate.RAW, run_id, served_lock_date=lock_date)
    return gate.run_gate(settings.warehouse, gate.FORECAST_INPUTS, run_id, served_lock_date=lock_date)


def rows(settings: Settings, name: str) -> list[dict]:
    with (settings.published / "status" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_published_run_shows_sources_checks_and_quarantine(settings):
    arrive(settings, 1, ["a", "b"])
    run(settings, "run-1")
    release = publishing.publish(settings, "run-1")
    page = status.write(settings, "run-1").read_text()
    for text in (
        "<h1>Published</h1>",
        release.id,
        "Deal has an owner",
        "4,200",
        "Sales operations",
        "files → raw_files",
    ):
        assert text in page
    assert {row["check_name"] for row in rows(settings, "failing_rows.csv")} == {"deal_has_an_owner"}
    assert "verdict" in {row["check_name"] for row in rows(settings, "gate.csv")}


def test_a_held_back_run_says_what_why_how_much_and_what_is_served(settings):
    run(settings, "run-1")
    release = publishing.publish(settings, "run-1")
    set_deals(settings, [{"is_known_stage": False, "stage": "<b>New</b>", "amount_base": 900}, {}])
    assert not run(settings, "run-2").is_passed
    page = status.write_failure(settings, "run-2", "forecast_gate", "1 check failed").read_text()
    for text in ("Held back: nothing was published", "every stage is known", "1,900 in 2 open deals", release.id,
                 "lock 2025-06-29", "run the pipeline again", "&lt;b&gt;New&lt;/b&gt;"):  # fmt: skip
        assert text in page
    assert "<b>New</b>" not in page
    assert publishing.served(settings).id == release.id
    assert "Held back" in status.tell(settings) and release.id in status.tell(settings)


def test_a_refused_load_shows_what_was_refused_and_the_money_that_waits(settings):
    arrive(settings, 1, ["a", "a"])
    gate.run_gate(settings.warehouse, gate.RAW, "run-1")
    page = status.write_failure(settings, "run-1", "raw_gate", "failed").read_text()
    for text in (
        "Load 1, and every mart",
        "one version an extract",
        "6,200 of open pipeline",
        "refused",
        "nothing yet",
    ):
        assert text in page


def test_a_run_that_stopped_early_says_so_even_without_a_warehouse(tmp_path):
    settings = settings_in(tmp_path)
    page = status.write_failure(settings, "run-1", "ingest", "no folder\n/exports").read_text()
    assert "The run stopped before it published" in page and "ingest: no folder /exports" in page
    assert status.tell(settings) == "No run has come to the gate yet."


def test_the_page_needs_no_other_host_and_leaves_no_draft(settings):
    run(settings, "run-1")
    page = status.write(settings, "run-1")
    text = page.read_text()
    assert not re.findall(r"https?://|<script|<link|@import|url\(", text)
    assert sorted(path.name for path in page.parent.iterdir()) == ["failing_rows.csv", "gate.csv", "index.html"]


def test_the_worklist_comes_and_goes_with_its_table(settings):
    from dagster_project import warehouse

    run(settings, "run-1")
    with warehouse.connect(settings.warehouse) as connection:
        connection.execute("create schema hygiene; create table hygiene.worklist as select 'd1' as opportunity_id")
    assert 'href="worklist.csv"' in status.write(settings, "run-1").read_text()
    assert rows(settings, "worklist.csv") == [{"opportunity_id": "d1"}]
    with warehouse.connect(settings.warehouse) as connection:
        connection.execute("drop table hygiene.worklist")
    status.write(settings, "run-1")
    assert not (settings.published / "status" / "worklist.csv").exists()
