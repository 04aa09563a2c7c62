"""The weekly report: the marts' numbers are in it, it asks nobody for anything, and what is missing leaves a gap, not a
fault."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path

import duckdb
import pytest

from dagster_project import cli, publishing, report
from dagster_project.report import charts, words
from dagster_project.settings import Settings, UserError
from tests.hand_made import make, settings_in
from tests.report.browser import chromium, found
from tests.test_publishing import passed

LOCK, START = date(2025, 5, 18), date(2025, 4, 1)
QUARTER = "FY2025-Q2"
ROLLUP = {
    "level": "company", "level_id": "all", "fiscal_quarter": QUARTER, "quarter_start_date": START, "lock_date": LOCK,
    "won_amount": Decimal("411234.56"), "commit_amount": Decimal("590000.00"),
    "commit_evidenced_amount": Decimal("233000.00"), "commit_called_amount": Decimal("912345.00"),
    "best_case_called_amount": Decimal("1200000.00"), "forecast_amount": Decimal("800000.00"),
    "quota_amount": Decimal("1234567.00"), "p10_amount": Decimal("871000.00"), "model_amount": Decimal("1013000.00"),
    "p90_amount": Decimal("1167000.00"),
}  # fmt: skip
COVERAGE = {
    "level": "company", "level_id": "all", "week_end_date": LOCK, "fiscal_quarter": QUARTER,
    "target_fiscal_quarter": QUARTER, "week_of_quarter": 7, "open_amount": Decimal("990000.00"),
    "won_amount": Decimal("411234.56"), "coverage_remaining": Decimal("1.200000"),
    "coverage_needed": Decimal("2.300000"), "coverage_gap_amount": Decimal("903000.00"),
}  # fmt: skip
WATERFALL = {
    "level": "company", "level_id": "all", "week_end_date": LOCK, "target_fiscal_quarter": QUARTER,
    "starting_amount": Decimal("1000000.00"), **{f"{name}_amount": Decimal("0.00") for name in charts.MOVEMENTS},
    "created_amount": Decimal("45600.00"), "won_amount": Decimal("-31000.00"), "lost_amount": Decimal("-24600.00"),
    "ending_amount": Decimal("990000.00"),
}  # fmt: skip
PARTS = {"stretch": 700_000, "deals_in_play": 60_000, "speed": -20_000, "win_rate": 73_332, "deal_size": 10_000}
LEVERS = {
    "level": "company", "level_id": "all", "fiscal_quarter": QUARTER, "base": "own", "undefined_reason": None,
    "gap_amount": Decimal("823332.44"), "base_rest_amount": Decimal("600000.00"),
    "missing_amount": Decimal("223332.44"),
    **{f"{part}_gap_amount": Decimal(amount) for part, amount in PARTS.items()},
    **{f"{part}_gap_low_amount": Decimal(amount - 30_000) for part, amount in PARTS.items()},
    **{f"{part}_gap_high_amount": Decimal(amount + 30_000) for part, amount in PARTS.items()},
    **{f"{part}_sentence": f"Words on {part} by 2025-06-10." for part in PARTS},
}  # fmt: skip
WORK = {
    "worklist_rank": 1, "sentence": "An open deal has no contact.", "evidence": "no contact on the deal",
    "opportunity_id": "006A", "opportunity_name": "Acme <b>Renewal</b>", "account_name": "Acme", "rep_name": "Ann",
    "team": "East", "forecast_category": "best_case", "amount_base": Decimal("282444.10"),
    "forecast_amount_at_stake": Decimal("155344.26"),
}  # fmt: skip
ERRORS = [
    {
        "method": method, "level": "company", "quarter_start_date": date(2024, 3 * quarter - 2, 1), "basis": "model",
        "week_of_quarter": week,
        "forecast_amount": Decimal(forecast), "actual_amount": Decimal(1000),
    }
    for method, forecast in (("model", 1080), ("rep_commit", 1173))
    for quarter in (1, 2)
    for week in (1, 7, 13)
]  # fmt: skip
BINS = [
    {"method": "model", "bin_number": p, "deal_count": 50 * p, "predicted_rate": Decimal(p) / 10,
     "observed_rate": Decimal(p) / 10}
    for p in range(1, 10)
]  # fmt: skip


def places(row: dict, *others: dict) -> list[dict]:
    """The row for the company, team East and rep r1, changed for each as told."""
    changed = dict(enumerate(others))
    names = (("company", "all"), ("team", "East"), ("rep", "r1"))
    return [row | {"level": level, "level_id": id_} | changed.get(n, {}) for n, (level, id_) in enumerate(names)]


def tables(**replaced: list[dict]) -> dict[str, list[dict]]:
    weeks = [
        COVERAGE | {"week_end_date": LOCK - timedelta(7 * back), "week_of_quarter": 7 - back} for back in (2, 1, 0)
    ]
    east = {"won_amount": Decimal("98765.00"), "quota_amount": Decimal("400000.00")}
    days = [START + timedelta(number) for number in range(91)]
    everything = {
        "core.dim_dates": [
            {"date_day": day, "week_of_quarter": min(13, 1 + (day - START).days // 7), "week_quarter_start_date": START,
             "quarter_end_date": date(2025, 6, 30)}
            for day in days
        ],
        "core.dim_reps": [{"rep_id": "r1", "rep_name": "Ann Lee", "team": "East", "valid_from_date": date(2024, 1, 1)}],
        "forecast.rollup": places(ROLLUP, {}, east, east),
        "leading_indicators.weekly_pipeline_coverage": [row for week in weeks for row in places(week)],
        "leading_indicators.weekly_pipeline_waterfall": places(WATERFALL),
        "forecast.lever_gap": [row | {"base": base} for base in ("own", "peers") for row in places(LEVERS)],
        "hygiene.worklist": [WORK],
        "forecast.backtest": ERRORS,
        "forecast.calibration": BINS,
    }  # fmt: skip
    return everything | replaced


def marts(path: Path, contents: dict[str, list[dict]]) -> Path:
    """A marts database with these tables."""
    kinds = {Decimal: "decimal(18, 6)", int: "integer", date: "date"}
    with duckdb.connect(str(path)) as connection:
        for table, rows in contents.items():
            connection.execute(f"create schema if not exists {table.partition('.')[0]}")
            columns = ", ".join(f"{name} {kinds.get(type(value), 'varchar')}" for name, value in rows[0].items())
            connection.execute(f"create table {table} ({columns})")
            connection.executemany(
                f"insert into {table} values ({', '.join('?' * len(rows[0]))})", [list(row.values()) for row in rows]
            )
    return path


def plain(page: str) -> str:
    """The page's words, without marks."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.S)))


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return report.write_beside(marts(tmp_path_factory.mktemp("marts") / "marts.duckdb", tables()), "USD")


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    if not found():
        pytest.skip("no Chromium on this machine; the page is read as text only")
    with chromium(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


NUMBERS = (
    "The call is 322 K short of quota: 912 K of 1.23 M",
    "411 K is won, 33 % of quota with 6 weeks left.",
    "Of the 590 K of open deals called commit, 233 K rests on evidence.",
    "The model expects 1.01 M, and between 871 K and 1.17 M in eight cases of ten.",
    "If the rest of the quarter goes as it usually does, 223 K is missing at its end.",
    "990 K of pipeline is open for the quarter; own history says 903 K more is needed",
    "shrank by 10.0 K this week, from 1.00 M to 990 K",
    "Where the 823 K to quota comes from",
    "Words on win_rate by 10 June 2025.",
    "An open deal has no contact.",
    "155,344",
    "off by 8.0 % of what was won, the reps' call by 17.3 %",
    "+17.3 %",
)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_marts_numbers_are_in_the_page(page, number):
    assert number in plain(page.read_text())


def test_a_browser_shows_them_without_asking_anybody_for_anything(page, tab):
    tab.open(page)
    text = re.sub(r"\s+", " ", tab.text().replace("\xa0", " "))
    assert [number for number in NUMBERS if number not in text] == []
    assert tab.evaluate("document.querySelectorAll('svg.chart').length") == 10
    assert tab.evaluate("[...document.querySelectorAll('svg.chart')].every(s => s.getBoundingClientRect().height > 80)")
    assert set(tab.requests) - {"data:,"} == {page.as_uri()}
    assert tab.complaints == []


def test_charts_say_their_exact_figures_under_the_pointer(page, tab):
    tab.open(page)
    titles = tab.evaluate("[...document.querySelectorAll('svg.chart title')].map(t => t.textContent)")
    for said in (
        "Won: 411,235",
        "Quota: 1,234,567",
        "Model: 1,013,000, from 871,000 to 1,167,000 in eight of ten cases",
        "New: 45,600",
        "Win rate: 73,332, 95 % interval 43,332 to 103,332",
        "Week 7: needed 2.30 x",
        "Model, week 7: off by 8.0 %",
        "said 90 %, came 90 % of 450 deals",
    ):
        assert said in titles, said


@pytest.mark.parametrize("pixels", [390, 800, 1400])
def test_nothing_runs_out_of_the_page_at_any_width(page, tab, pixels):
    tab.wide(pixels)
    tab.open(page)
    assert tab.evaluate("document.documentElement.scrollWidth") <= pixels


def test_it_prints_a_section_a_team_on_paper(page, tab):
    tab.open(page)
    pdf = tab.pdf()
    sheets = len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert pdf.startswith(b"%PDF") and 3 <= sheets <= 6


def test_the_page_needs_no_other_file_and_no_script(page):
    text = page.read_text()
    assert not re.findall(r"https?://|<script|@import|<img|src=|url\((?!#)", text)
    ids = re.findall(r' id="([^"]+)"', text)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)


def test_text_from_the_crm_is_text(page):
    assert "Acme &lt;b&gt;Renewal&lt;/b&gt;" in page.read_text()


def test_teams_and_reps_stand_where_they_belong(page):
    text = page.read_text()
    company, east = text.split('id="team-east"')
    assert '<a href="#team-east">East</a>' in company and "98,765" in company
    assert "Ann Lee" in east and "Ann Lee" not in company


@pytest.mark.parametrize("table", [table for table in tables() if table != "forecast.rollup"])
def test_a_table_that_is_not_there_leaves_its_part_out(tmp_path, table):
    contents = tables()
    del contents[table]
    text = report.page_of(marts(tmp_path / "marts.duckdb", contents), "USD")
    assert "The call is 322 K short of quota" in text
    gone = {
        "leading_indicators.weekly_pipeline_waterfall": "Start of week",
        "forecast.lever_gap": "One lever at a time",
        "hygiene.worklist": "no contact on the deal",
        "forecast.backtest": "How far the company",
        "forecast.calibration": "times in 100",
    }
    assert table not in gone or gone[table] not in text


def test_columns_that_are_not_there_yet_are_left_out(tmp_path):
    bare = [
        {name: value for name, value in row.items() if "commit_" not in name or name == "commit_called_amount"}
        for row in tables()["forecast.rollup"]
    ]
    text = report.page_of(marts(tmp_path / "marts.duckdb", tables(**{"forecast.rollup": bare})))
    assert "rests on evidence" not in text and "The call is 322 K short" in text


def test_a_lock_that_the_model_has_not_forecast_has_no_range(tmp_path):
    unknown = dict.fromkeys(("p10_amount", "model_amount", "p90_amount"))
    rows = [row | unknown for row in tables()["forecast.rollup"]]
    contents = tables(**{"forecast.rollup": rows})
    text = report.page_of(marts(tmp_path / "marts.duckdb", contents))
    assert "eight cases of ten" not in text and "The call is 322 K short" in text


def test_nothing_published_yet_is_said(tmp_path):
    assert "Nothing to report yet" in report.page_of(marts(tmp_path / "marts.duckdb", {}))


def test_a_gap_that_cannot_be_split_says_why_and_keeps_the_sentences_it_has(tmp_path):
    row = LEVERS | {"undefined_reason": "no deal was won, so there is no deal size"}
    row |= {f"{part}_gap{end}_amount": None for part in PARTS for end in ("", "_low", "_high")}
    row |= {"deal_size_sentence": None}
    typed = [*places(LEVERS | {"fiscal_quarter": "FY2025-Q1"}), *places(row)]
    text = report.page_of(marts(tmp_path / "marts.duckdb", tables(**{"forecast.lever_gap": typed})))
    assert "The gap cannot be split: no deal was won" in text
    assert "Words on win_rate" in text and "Words on deal_size" not in text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"won_amount": Decimal("1300000.00")}, "Quota is made: 1.30 M of 1.23 M won"),
        (
            {"commit_called_amount": Decimal("1300000.00")},
            "The call makes quota: 1.30 M called of 1.23 M, 411 K of it won",
        ),
        ({"commit_called_amount": Decimal("0.00")}, "411 K of 1.23 M won, 823 K to go, nothing called"),
        ({"quota_amount": Decimal("0.00")}, "411 K won, no quota set"),
    ],
)
def test_the_headline_says_where_the_call_stands(tmp_path, changed, said):
    contents = {"forecast.rollup": [ROLLUP | changed]}
    assert f"<h1>{said}</h1>" in report.page_of(marts(tmp_path / "marts.duckdb", contents))


def test_the_same_marts_give_the_same_page(page, tmp_path):
    again = report.write_beside(marts(tmp_path / "marts.duckdb", tables()), "USD")
    assert again.read_text() == page.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["marts.duckdb", report.PAGE]


@pytest.mark.parametrize(
    ("amount", "told"),
    [(None, words.NONE), (0, "0"), (954.4, "954"), (14_651, "14.7 K"), (705_700, "706 K"), (999_600, "1.00 M"),
     (2_705_700, "2.71 M"), (-60_021, f"{words.MINUS}60.0 K"), (-0.3, "0")],
)  # fmt: skip
def test_money_is_told_short(amount, told):
    assert words.money(amount) == told


def publish(settings: Settings):
    return publishing.publish(passed(settings), beside=report.write_beside)


def test_a_release_holds_its_report_sealed(tmp_path):
    release = publish(make(settings_in(tmp_path), [{}]))
    page = tmp_path / "published" / "current" / report.PAGE
    assert "Nothing to report yet" in page.read_text() and release.id in page.read_text()
    assert page.stat().st_mode & 0o222 == 0


def test_the_report_is_written_anew_at_any_time(tmp_path, monkeypatch, capsys):
    settings = settings_in(tmp_path)
    with pytest.raises(UserError, match="nothing is published"):
        report.write(settings)
    publish(make(settings, [{}]))
    monkeypatch.setenv("WAREHOUSE_PATH", str(settings.warehouse))
    monkeypatch.setenv("WAREHOUSE_PUBLISHED", str(settings.published))
    assert cli.main(["report"]) == 0
    assert str(settings.published / "report" / report.PAGE) in capsys.readouterr().out
    assert cli.main(["report", "--to", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / report.PAGE).exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the report"):
        report.write(settings, tmp_path / "file" / "folder")
