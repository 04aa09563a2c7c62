"""What the report shows, read from the published marts as they stand at the newest lock.

A table or a column that is not there leaves its part of the report out. Nothing is worked out here but sums over what
the marts give, such as a pooled error over quarters.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

import duckdb

TOP = 10  # rows of a worklist
Row = dict[str, object]


@dataclass
class Place:
    """The company or a team. Rows are the marts' own, by column name; empty where a mart has none."""

    level: str
    level_id: str
    rollup: Row = field(default_factory=dict)
    coverage: list[Row] = field(default_factory=list)  # a week each, oldest first
    waterfall: Row = field(default_factory=dict)
    levers: dict[str, Row] = field(default_factory=dict)  # by base
    worklist: list[Row] = field(default_factory=list)
    at_stake: Decimal | None = None  # of the whole worklist, each deal once
    parts: list[Place] = field(default_factory=list)  # teams of the company, reps of a team
    name: str = ""

    @property
    def title(self) -> str:
        return "Company" if self.level == "company" else self.name or self.level_id

    @property
    def now(self) -> Row:
        """Coverage at the lock."""
        return self.coverage[-1] if self.coverage else {}


@dataclass
class Report:
    """`errors`: pooled over finished quarters, a row a method and week of the quarter. `calibration`: a row a bin."""

    company: Place
    release: Row
    fiscal_quarter: str = ""
    week: int | None = None
    weeks: int | None = None
    lock_date: dt.date | None = None
    quarter_end_date: dt.date | None = None
    currency: str = ""
    errors: list[Row] = field(default_factory=list)
    calibration: list[Row] = field(default_factory=list)

    @property
    def teams(self) -> list[Place]:
        return self.company.parts


class Marts:
    """A marts database that may lack tables."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        found = connection.execute(
            "select schema_name || '.' || table_name, column_name from duckdb_columns()"
        ).fetchall()
        self.columns: dict[str, set[str]] = defaultdict(set)
        for table, column in found:
            self.columns[table].add(column)

    def has(self, table: str, *columns: str) -> bool:
        return table in self.columns and set(columns) <= self.columns[table]

    def rows(self, table: str, query: str, *parameters) -> list[Row]:
        """The query's rows; none where its table is not there."""
        if not self.has(table):
            return []
        result = self.connection.execute(query, list(parameters))
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def read(connection: duckdb.DuckDBPyConnection, currency: str = "") -> Report:
    marts = Marts(connection)
    release = next(iter(marts.rows("main._release", "select * from main._release")), {})
    company = Place("company", "all")
    report = Report(company, release, currency=currency)
    rollup = marts.rows(
        "forecast.rollup",
        "select * from forecast.rollup where lock_date = (select max(lock_date) from forecast.rollup)",
    )
    if not rollup:
        return report
    first = rollup[0]
    report.fiscal_quarter, report.lock_date = first["fiscal_quarter"], first["lock_date"]
    _calendar(marts, report, first["quarter_start_date"])
    places = {(row["level"], row["level_id"]): Place(row["level"], row["level_id"], row) for row in rollup}
    company = report.company = places.setdefault(("company", "all"), company)
    for row in marts.rows(
        "leading_indicators.weekly_pipeline_coverage",
        "select * from leading_indicators.weekly_pipeline_coverage "
        "where target_fiscal_quarter = ? and fiscal_quarter = ? and week_end_date <= ? order by week_end_date",
        report.fiscal_quarter, report.fiscal_quarter, report.lock_date,
    ):  # fmt: skip
        _at(places, row).coverage.append(row)
    for row in marts.rows(
        "leading_indicators.weekly_pipeline_waterfall",
        "select * from leading_indicators.weekly_pipeline_waterfall "
        "where target_fiscal_quarter = ? and week_end_date = ?",
        report.fiscal_quarter, report.lock_date,
    ):  # fmt: skip
        _at(places, row).waterfall = row
    for row in marts.rows(
        "forecast.lever_gap", "select * from forecast.lever_gap where fiscal_quarter = ?", report.fiscal_quarter
    ):
        _at(places, row).levers[row["base"]] = row
    _people(marts, report, places)
    _worklists(marts, places)
    report.errors, report.calibration = _errors(marts), _calibration(marts)
    return report


def _at(places: dict[tuple, Place], row: Row) -> Place:
    """The row's place; one that the rollup does not have is read and not shown."""
    return places.get((row["level"], row["level_id"])) or Place(row["level"], row["level_id"])


def _calendar(marts: Marts, report: Report, quarter_start_date: dt.date) -> None:
    days = marts.rows(
        "core.dim_dates",
        """
        select
          max(week_of_quarter) as weeks, max(case when date_day = ? then week_of_quarter end) as week,
          max(quarter_end_date) as quarter_end_date
        from core.dim_dates where week_quarter_start_date = ?
        """,
        report.lock_date, quarter_start_date,
    )  # fmt: skip
    if days:
        report.weeks, report.week = days[0]["weeks"], days[0]["week"]
        report.quarter_end_date = days[0]["quarter_end_date"]


def _people(marts: Marts, report: Report, places: dict[tuple, Place]) -> None:
    """Teams under the company, reps under the team they were in at the lock: who has a quota, money open or won."""
    reps = marts.rows(
        "core.dim_reps",
        "select rep_id, rep_name, team from core.dim_reps where valid_from_date <= ? "
        "qualify row_number() over (partition by rep_id order by valid_from_date desc) = 1",
        report.lock_date,
    ) if marts.has("core.dim_reps", "rep_id", "rep_name", "team", "valid_from_date") else []  # fmt: skip
    teams = sorted((place for (level, _), place in places.items() if level == "team"), key=lambda place: place.level_id)
    report.company.parts = [place for place in teams if _has_figures(place)]
    by_team = {place.level_id: place for place in teams}
    for rep in sorted(reps, key=lambda row: str(row["rep_name"])):
        place = places.get(("rep", rep["rep_id"]))
        if place and rep["team"] in by_team and _has_figures(place):
            place.name = rep["rep_name"] or rep["rep_id"]
            by_team[rep["team"]].parts.append(place)


def _has_figures(place: Place) -> bool:
    names = ("quota_amount", "won_amount", "commit_called_amount", "commit_amount")
    return any(place.rollup.get(name) for name in names)


def _worklists(marts: Marts, places: dict[tuple, Place]) -> None:
    rows = marts.rows("hygiene.worklist", "select * from hygiene.worklist order by worklist_rank")
    for (level, level_id), place in places.items():
        if level in ("company", "team"):
            mine = [row for row in rows if level == "company" or row["team"] == level_id]
            deals = {row["opportunity_id"]: row["forecast_amount_at_stake"] or Decimal(0) for row in mine}
            place.worklist, place.at_stake = mine[:TOP], sum(deals.values(), Decimal(0))


def _errors(marts: Marts) -> list[Row]:
    """By method and week of the quarter, over finished quarters of the company: sum of errors / sum of actuals.

    Only quarters and weeks for which every method made a forecast, so that all are held against the same; of the
    backtest, those at which the model had settled quarters enough to learn from.
    """
    needed = ("method", "level", "week_of_quarter", "forecast_amount", "actual_amount", "quarter_start_date")
    for table in ("forecast.backtest", "lagging_indicators.forecast_accuracy"):
        if marts.has(table, *needed):
            # the model without the calls is a part of the model, not a method beside it
            learned = "and basis = 'model' and method <> 'deals_only'" if marts.has(table, "basis") else ""
            rows = marts.rows(
                table,
                f"""
                with forecasts as (
                  select method, quarter_start_date, week_of_quarter as week, forecast_amount, actual_amount
                  from {table}
                  where level = 'company' and week_of_quarter > 0
                    and actual_amount is not null and forecast_amount is not null {learned}
                  qualify count(distinct method) over (partition by quarter_start_date, week_of_quarter)
                    = count(distinct method) over ()
                )
                select
                  method, week, count(*) as quarters,
                  sum(abs(forecast_amount - actual_amount)) / nullif(sum(actual_amount), 0) as wape,
                  sum(forecast_amount - actual_amount) / nullif(sum(actual_amount), 0) as bias
                from forecasts
                group by method, week
                order by method, week
                """,
            )
            if rows:
                return rows
    return []


def _calibration(marts: Marts) -> list[Row]:
    """By method and tenth of the chances; the model's first."""
    table = "forecast.calibration"
    if not marts.has(table, "method", "bin_number", "deal_count", "predicted_rate", "observed_rate"):
        return []
    return marts.rows(
        table,
        """
        select method, bin_number, deal_count, predicted_rate, observed_rate
        from forecast.calibration
        where method in ('model', 'crm_probability') and deal_count > 0
        order by method desc, bin_number
        """,
    )
