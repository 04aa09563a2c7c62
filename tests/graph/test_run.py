"""The whole job on a small company, as a user runs it: published, held back, repaired, and started where it may not be.

Every test goes on from a company that has published once. `make faults` kills and corrupts; here nothing breaks off.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from dagster_project.settings import PROJECT_ROOT
from tests.faults.export import MAPPING, write_export
from tests.faults.runs import Ended, Place

DEAL = "      forecast_category: {constant: commit}\n      currency_code: {column: currency, default: USD}\n"


class Company(Place):
    """A place with an export that a test may spoil and mend."""

    @property
    def deals(self) -> Path:
        return self.folder / "export" / "deals.csv"

    def change_deals(self, change) -> None:
        """`change` edits each row, a dict, in place; a row it returns False for is left out."""
        with self.deals.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if change(row) is not False]
        with self.deals.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)

    def take_export_on(self, day: str) -> None:
        mapping = self.folder / "export" / "mapping.yml"
        lines = mapping.read_text().splitlines()
        mapping.write_text("\n".join(f"as_of: {day}" if line.startswith("as_of:") else line for line in lines) + "\n")

    def query(self, sql: str) -> list[tuple]:
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def page(self) -> str:
        return (self.published / "status" / "index.html").read_text()


def company(folder: Path) -> Company:
    return Company(folder, WAREHOUSE_SOURCES="files", WAREHOUSE_FILES=str(folder / "export"))


@pytest.fixture(scope="module")
def first_run(tmp_path_factory) -> tuple[Company, Ended]:
    place = company(tmp_path_factory.mktemp("company"))
    shutil.rmtree(place.warehouse.parent / "dbt")  # parsed from nothing, as a first run is
    write_export(place.folder / "export")
    mapping = place.folder / "export" / "mapping.yml"
    mapping.write_text(MAPPING + DEAL)
    place.take_export_on("2025-06-15")
    place.change_deals(lambda row: row.update(currency="USD", closes="2025-06-30"))
    return place, place.run_as_typed()


@pytest.fixture
def published(first_run, tmp_path) -> Company:
    """A company that has published, with the export to go on from."""
    first_run[0].copy(tmp_path)
    return company(tmp_path)


def test_run_publishes_and_tells_what_it_did(first_run):
    place, ended = first_run
    assert ended.code == 0, ended.err
    assert place.release() is not None
    for step in ("ingest", "raw_gate", "transform", "forecast_gate", "freeze", "forecast", "published__marts"):
        assert f"  {step} " in ended.out
    for told in ("rows read", "0 rejected", "  won  ", "  forecast  ", "marts.duckdb", "/runs/", "make sql"):
        assert told in ended.out
    assert ended.err == "", "a run that went well has nothing to say there"


def test_sql_status_and_rollback_answer_from_what_is_published(first_run):
    place, _ = first_run
    answer = place.run("sql", "select count(*) as deals from core.fct_opportunities")
    assert (answer.code, answer.err) == (0, "")
    assert "120" in answer.out
    mistake = place.run("sql", "select nothing from nowhere")
    assert (mistake.code, len(mistake.err.splitlines())) == (2, 1)
    assert place.release() in place.run("status").out
    assert "nothing to roll back to" in place.run("rollback").err


def test_exports_that_are_cut_or_broken_hold_the_marts_back_until_one_is_whole(published):
    """Three weeks: an export cut short, one with a currency that has no rate, one with only a deal to leave out."""
    served, page = published.release(), published.page()
    forecast = "select * from forecast.rollup order by all"
    before, whole = published.query(forecast), published.deals.read_bytes()

    published.take_export_on("2025-06-22")
    published.change_deals(lambda row: int(row["id"][1:]) < 20)
    ended = published.run()
    assert ended.code == 1
    assert "held back: raw_files.loads export_did_not_collapse" in ended.err
    assert "transform" not in ended.out, "refused before any model"
    assert published.release() == served
    assert published.page() != page
    assert published.query("select distinct status from raw_files.loads where load_id > 1") == [("refused",)]

    published.deals.write_bytes(whole)
    published.change_deals(lambda row: row.update(currency="JPY") if row["id"] == "d1" else None)
    ended = published.run()
    assert ended.code == 1
    assert "held back: forecast.inputs every_currency_has_a_rate" in ended.err
    assert "behind them" in ended.err
    assert "Status page" in ended.err
    assert "  forecast  " not in ended.out
    # one asset alone, as from the webserver; the command plain dbt is; publishing alone
    alone = materialize(published, "forecast/rollup", "published/marts")
    assert "the newest verdict" in alone["forecast/rollup"]
    assert "not built since the last load" in alone["published/marts"]
    assert "the newest verdict" in plain_dbt(published, "rollup")
    assert published.query(forecast) == before
    assert published.release() == served

    def spoil(row):
        if row["id"] == "d1":
            row["value"] = "-$5,000.00"
        elif row["id"] == "d9":
            row["value"] = "$9,999,999,999,999.00"
        elif row["id"] == "d5":
            row["value"] = ""

    with duckdb.connect(str(published.warehouse)) as connection:
        connection.execute("comment on view staging.stg_files__opportunities is 'as it stood'")
    published.deals.write_bytes(whole)
    published.take_export_on("2025-06-29")
    published.change_deals(spoil)
    ended = published.run()
    assert ended.code == 0, ended.err
    assert published.release() != served
    assert published.query("select count(*) from core.fct_opportunities") == [(120,)]
    stood = published.query("select view_name from duckdb_views() where comment = 'as it stood'")
    assert stood == [("stg_files__opportunities",)], "a view that stands is not made again"
    failed = published.query("select check_name, severity, rows_failed_count from forecast.gate where not is_passed")
    assert {("amount_is_not_negative", "quarantine", 1), ("deal_has_an_amount", "warning", 1)} <= set(failed)
    assert "of note" in ended.out
    newest = "lock_date = (select max(lock_date) from forecast.locks)"
    [(held,)] = published.query(f"select quarantined_amount from forecast.rollup where level = 'company' and {newest}")
    assert held == 9_999_999_999_999 - 5000
    frozen = f"select opportunity_id, held_out_by from forecast.locked_inputs where is_held_out and {newest}"
    assert published.query(f"{frozen} order by 1") == [("d1", "amount_is_not_negative"), ("d9", "amount_is_plausible")]
    assert "d1" in published.page()


def test_full_refresh_with_nothing_new_changes_nothing(published):
    served = published.release()
    marts = "select * from core.fct_opportunities order by opportunity_id"
    before = published.query(marts)
    ended = published.run("run", "--full-refresh")
    assert ended.code == 0, ended.err
    assert " 0 new" in ended.out
    assert published.query(marts) == before
    assert published.release() == served


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"WAREHOUSE_SOURCES": "flies"}, "did you mean 'files'?"),
        ({"WAREHOUSE_FILES": "/nowhere"}, "WAREHOUSE_FILES: "),
        ({"WAREHOUSE_AS_OF": "yesterday"}, "cannot read 'yesterday'"),
        ({"DAGSTER_HOME": "relative"}, "not an absolute path"),
    ],
)
def test_users_mistake_is_one_line_before_anything_is_touched(tmp_path, changed, told):
    place = company(tmp_path)
    write_export(tmp_path / "export")
    place.environment |= changed
    ended = place.run()
    assert (ended.code, len(ended.err.splitlines())) == (2, 1), ended.err
    assert told in ended.err
    assert not place.warehouse.exists()
    assert not place.published.exists()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_comes_at_once(arguments):
    command = [sys.executable, "-X", "importtime", "-m", "dagster_project", *arguments]
    told = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in told.stderr.splitlines()}
    assert not imported & {"dagster", "dbt", "duckdb", "pyarrow", "pandas", "great_expectations"}


def materialize(place: Company, *assets: str) -> dict[str, str]:
    """Start each asset alone in a run of its own; what it failed with, '' where it did not."""
    script = f"""
import json
import dagster as dg
from dagster_project.definitions import defs
job, told = defs.resolve_implicit_global_asset_job_def(), {{}}
for asset in {assets}:
    run = job.execute_in_process(asset_selection=[dg.AssetKey(asset.split("/"))], raise_on_error=False)
    failures = (event.step_failure_data.user_failure_data for event in run.get_step_failure_events())
    told[asset] = " ".join(failure.description for failure in failures)
print(json.dumps(told))
"""
    return json.loads(script_output(place, [sys.executable, "-W", "ignore", "-c", script]).splitlines()[-1])


def plain_dbt(place: Company, model: str) -> str:
    dbt = Path(sys.executable).with_name("dbt")
    project, target = PROJECT_ROOT / "dbt", place.folder / "target"
    folders = ["--project-dir", project, "--profiles-dir", project, "--target-path", target, "--log-path", target]
    return script_output(place, [dbt, "run", "--select", model, *folders])


def script_output(place: Company, command: list) -> str:
    ended = subprocess.run(command, env=place.environment, cwd=PROJECT_ROOT, capture_output=True, text=True)
    return ended.stdout.strip()
