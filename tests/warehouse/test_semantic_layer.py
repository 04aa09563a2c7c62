"""Every metric of the semantic layer, asked through MetricFlow, equals the mart to the cent, at every level and period."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import duckdb
import pytest

from tests.warehouse.metricflow import MetricFlow

LEVELS = {"company": [], "segment": ["segment"], "team": ["team"], "rep": ["rep"]}
QUARTER, WEEK, MONTH = "metric_time__fiscal_quarter", "metric_time__fiscal_week", "metric_time__fiscal_month"
UNTIL_NOW = "{{ TimeDimension('metric_time', 'day') }} <= (select as_of_date from intermediate.int_as_of)"


@dataclass(frozen=True)
class Ask:
    """One mart's rows and the question they answer: `keys` maps its columns to what MetricFlow groups by."""

    mart: str
    keys: dict[str, str]
    metrics: Callable[[str], bool] = lambda name: True
    rows: str = "true"
    where: tuple[str, ...] = ()
    levels: tuple[str, ...] = tuple(LEVELS)
    has_levels: bool = True
    name: str = field(default="")

    def __str__(self) -> str:
        return self.name or self.mart.partition(".")[2]


def is_quarterly(name: str) -> bool:
    return not name.startswith("cohort_") and not name.endswith("_by_month")


def is_monthly(name: str) -> bool:
    return name.endswith("_by_month")


def is_cohort(name: str) -> bool:
    return name.startswith("cohort_")


def between(*things: str) -> Callable[[str], bool]:
    return lambda name: name.endswith(tuple(f"_between_{thing}" for thing in things))


def is_no_move(name: str) -> bool:
    return "_between_" not in name


def is_open(name: str) -> bool:
    return name.startswith("open_")


WATERFALL, CREATION = "leading_indicators.weekly_pipeline_waterfall", "leading_indicators.weekly_pipeline_creation"
CONVERSION, PROGRESS = "leading_indicators.stage_conversion", "leading_indicators.activity_progress"
WIN_RATE, SIZE = "lagging_indicators.win_rate", "lagging_indicators.deal_size_and_cycle"
COVERAGE, VELOCITY = "leading_indicators.weekly_pipeline_coverage", "leading_indicators.pipeline_velocity"
ACTIVITY, FUNNEL = "leading_indicators.weekly_activity", "leading_indicators.lead_funnel"
SCORES = "hygiene.scores"
ATTAINMENT, RETENTION = "lagging_indicators.quota_attainment", "lagging_indicators.rep_retention"

TARGETED = {"week_start_date": WEEK, "target_fiscal_quarter": "target_quarter"}
ENTRY = {"fiscal_quarter": QUARTER, "pipeline": "stage_entry__pipeline", "stage": "stage_entry__stage"}
CREATED = {
    "week_start_date": WEEK,
    "lead_source": "opportunity__lead_source",
    "deal_type": "opportunity__deal_type",
    "is_self_sourced": "opportunity__is_self_sourced",
}
FUNNELS = {
    "month_start_date": MONTH,
    "lead_source": "lead_cohort__lead_source",
    "campaign_id": "lead_cohort__campaign_id",
}
LOOKED_AT = "select week_start_date, target_fiscal_quarter from core.fct_weekly_quotas"
IS_LOOKED_AT = f"(week_start_date, target_fiscal_quarter) in ({LOOKED_AT})"
IS_COVERED = (
    "({{ TimeDimension('metric_time', 'fiscal_week') }}, {{ Entity('target_quarter') }}) in " + f"({LOOKED_AT})"
)
IN_QUARTER, IN_MONTH = {"fiscal_quarter": QUARTER}, {"month_start_date": MONTH}


def win_rates() -> Iterator[Ask]:
    periods = [
        ("closed", "quarter", "closing", IN_QUARTER, is_quarterly),
        ("closed", "month", "closing", IN_MONTH, is_monthly),
        ("created", "quarter", "created_deal", IN_QUARTER, is_cohort),
        ("created", "month", "created_deal", IN_MONTH, is_cohort),
    ]
    for basis, period, rows, keys, metrics in periods:
        where = f"basis = '{basis}' and period_type = '{period}' and deal_type"
        headline = (f"{{{{ Dimension('{rows}__is_headline') }}}}",)
        yield Ask(WIN_RATE, keys, metrics, f"{where} = 'all'", headline, name=f"win_rate {basis} {period} headline")
        typed = keys | {"deal_type": f"{rows}__deal_type"}
        yield Ask(WIN_RATE, typed, metrics, f"{where} <> 'all'", name=f"win_rate {basis} {period} by type")


ASKS = [
    Ask(WATERFALL, TARGETED, is_no_move),
    *(Ask(WATERFALL, TARGETED, between(f"{level}s_amount"), levels=(level,)) for level in ("rep", "team", "segment")),
    Ask(CREATION, CREATED),
    Ask(CONVERSION, ENTRY),
    Ask(ACTIVITY, {"week_start_date": WEEK, "activity_type": "rep_activity__activity_type"}),
    Ask(COVERAGE, TARGETED, is_open),
    # of a quarter that is over, or far ahead, nobody asks how its quota is covered
    Ask(COVERAGE, TARGETED, lambda name: not is_open(name), IS_LOOKED_AT, (IS_COVERED,), name="coverage of quota"),
    Ask(FUNNEL, FUNNELS, levels=("company",), has_levels=False),
    *win_rates(),
    Ask(SIZE, IN_QUARTER, is_quarterly, "basis = 'closed'", name="deal_size_and_cycle closed"),
    Ask(SIZE, IN_QUARTER, is_cohort, "basis = 'created'", name="deal_size_and_cycle created"),
    Ask(ATTAINMENT, IN_QUARTER, is_quarterly, "period_type = 'quarter'", (UNTIL_NOW,), name="quota_attainment quarter"),
    Ask(ATTAINMENT, IN_MONTH, is_monthly, "period_type = 'month'", (UNTIL_NOW,), name="quota_attainment month"),
    Ask(RETENTION, IN_QUARTER, is_no_move, "basis = 'quarter'"),
    Ask(RETENTION, IN_QUARTER, between("roles_count"), "basis = 'quarter'", levels=("company", "rep")),
    Ask(RETENTION, IN_QUARTER, between("teams_count"), "basis = 'quarter'", levels=("team",)),
    Ask(RETENTION, IN_QUARTER, between("segments_count"), "basis = 'quarter'", levels=("segment",)),
    Ask(SCORES, {"week_start_date": WEEK}),
    Ask(PROGRESS, IN_QUARTER, levels=("rep",), has_levels=False),
]


@pytest.fixture(scope="module")
def metricflow(demo_company) -> Iterator[MetricFlow]:
    _ = demo_company.dbt.manifest  # parsed, with what MetricFlow reads beside it
    flow = MetricFlow(demo_company.dbt.target / "semantic_manifest.json", demo_company.settings.warehouse)
    yield flow
    flow.close()


@pytest.fixture(scope="module")
def equals(demo_company) -> dict[str, list[str]]:
    """Metric to the mart columns it equals."""
    metrics = demo_company.dbt.manifest["metrics"].values()
    return {metric["name"]: metric["config"]["meta"].get("equals", []) for metric in metrics}


def columns_of(ask: Ask, equals: dict[str, list[str]]) -> dict[str, str]:
    """The metrics that answer for this mart, each with its column."""
    return {
        metric: column.rpartition(".")[2]
        for metric, columns in equals.items()
        for column in columns
        if column.startswith(f"{ask.mart}.") and ask.metrics(metric)
    }


def plain(value):
    """Dates and timestamps of midnight are one, so are booleans and their text."""
    return value.date() if hasattr(value, "date") and callable(value.date) else value


def same(mart, asked, digits: int) -> bool:
    """To the digits the mart keeps: money to the cent, counts exactly, ratios to the sixth; a double may end in a half."""
    if mart is None or asked is None:
        return mart is None and not asked
    limit = 0 if isinstance(asked, int | Decimal) and digits in (0, 2) else Decimal("0.51") / 10**digits
    return abs(Decimal(str(asked)) - Decimal(str(mart))) <= limit


def rows_of(company, sql: str) -> list[dict]:
    with duckdb.connect(str(company.settings.warehouse), read_only=True) as connection:
        answer = connection.execute(sql)
        names = [column[0] for column in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def digits_of(company, table: str) -> dict[str, int]:
    """Column to the decimal places it is stored with."""
    schema, _, name = table.partition(".")
    columns = "select column_name, numeric_scale from duckdb_columns() where schema_name = ? and table_name = ?"
    return {column: scale or 0 for column, scale in company.query(columns, schema, name)}


@pytest.mark.parametrize(
    ("ask", "level"), [pytest.param(ask, level, id=f"{ask} {level}") for ask in ASKS for level in ask.levels]
)
def test_asked_metrics_equal_the_mart(demo_company, metricflow, equals, ask, level):
    columns = columns_of(ask, equals)
    by = [*ask.keys.values(), *LEVELS[level]]
    keys = [*ask.keys, *(["level_id" if ask.has_levels else "rep_id"] if LEVELS[level] else [])]
    at_level = f"level = '{level}'" if ask.has_levels else "true"
    asked = {tuple(plain(row[name]) for name in by): row for row in metricflow.ask(list(columns), by, ask.where)}
    mart = rows_of(demo_company, f"select * from {ask.mart} where {at_level} and {ask.rows}")
    digits = digits_of(demo_company, ask.mart)
    assert mart and columns
    wrong = []
    for row in mart:
        answer = asked.pop(tuple(plain(row[key]) for key in keys), {})
        for metric, column in columns.items():
            found = answer.get(metric)
            if found is None and row[column] == 0 and digits[column] <= 2:
                found = 0  # nothing there is nothing to count; a ratio has to be the same nothing
            if not same(row[column], found, digits[column]):
                wrong.append((metric, [row[key] for key in keys], row[column], found))
    assert wrong == []
    left = {key: row for key, row in asked.items() if any(row[metric] for metric in columns)}
    assert left == {}, "asked, but not in the mart"


def trailing(metric: str) -> str:
    """The column of win_rate, or of pipeline_velocity, that is this metric over four quarters."""
    return metric.removeprefix("cohort_").replace("_deal_count", "_count")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("basis", "rows"), [("closed", "closing"), ("created", "created_deal")])
def test_four_quarters_are_the_same_metrics_asked_over_four_quarters(
    demo_company, metricflow, equals, basis, rows, level
):
    chosen = is_cohort if basis == "created" else is_quarterly
    names = [name for name, columns in equals.items() if f"{WIN_RATE}.{trailing(name)}" in columns and chosen(name)]
    names += ["average_won_amount", "cycle_count", "total_cycle_days", "mean_cycle_days"] * (basis == "closed")
    [(start, end, quarter)] = demo_company.query(
        f"select period_start_date, period_end_date, quarter_start_date from {WIN_RATE} where basis = '{basis}' "
        "and period_type = 'trailing_four_quarters' and is_complete order by 2 desc limit 1"
    )
    day = "{{ TimeDimension('metric_time', 'day') }}"
    where = (f"{day} >= '{start}' and {day} <= '{end}'", f"{{{{ Dimension('{rows}__is_headline') }}}}")
    asked = {tuple(row[name] for name in LEVELS[level]): row for row in metricflow.ask(names, LEVELS[level], where)}
    marts = {
        WIN_RATE: f"basis = '{basis}' and deal_type = 'all' and period_type = 'trailing_four_quarters'",
        VELOCITY: str(basis == "closed").lower(),
    }
    compared = 0
    for mart, of_mart in marts.items():
        digits = digits_of(demo_company, mart)
        for row in rows_of(
            demo_company,
            f"select * from {mart} where {of_mart} and level = '{level}' and quarter_start_date = '{quarter}'",
        ):
            answer = asked.get((row["level_id"],) if LEVELS[level] else (), {})
            for name in names:
                column = trailing(name)
                if column in row:
                    found = answer.get(name, 0 if row[column] == 0 else None)
                    assert same(row[column], found, digits[column]), (mart, row["level_id"], name, row[column], found)
                    compared += 1
    assert compared >= len(names)


@pytest.mark.parametrize(
    ("metric", "first_or_last", "period"),
    [
        ("open_pipeline_amount", "last", WEEK),
        ("open_deal_count", "last", WEEK),
        ("pipeline_starting_amount", "first", WEEK),
        ("records_in_scope_count", "last", WEEK),
        ("headcount_start", "first", QUARTER),
        ("headcount_end", "last", QUARTER),
        ("retained_count", "last", QUARTER),
    ],
)
def test_stocks_do_not_add_up_over_time(metricflow, metric, first_or_last, period):
    year = "metric_time__fiscal_year"
    parts: dict[int, list] = {}
    for row in sorted(metricflow.ask([metric], [year, period]), key=lambda row: row[period]):
        parts.setdefault(row[year], []).append(row[metric])
    whole = {row[year]: row[metric] for row in metricflow.ask([metric], [year])}
    assert {key: values[-1 if first_or_last == "last" else 0] for key, values in parts.items()} == whole
    assert all(sum(values) > whole[key] for key, values in parts.items() if len(values) > 1)


def test_saved_queries_answer(metricflow):
    saved = [query.name for query in metricflow.manifest.saved_queries]
    assert len(saved) >= 4
    for name in saved:
        rows = metricflow.ask_saved(name)
        assert rows, name
        assert [column for column in rows[0] if all(row[column] is None for row in rows)] == [], name


def test_metricflow_finds_nothing_wrong(metricflow):
    assert metricflow.problems() == []


def test_every_metric_is_asked_for_every_column_it_equals(equals):
    asked = {(metric, f"{ask.mart}.{column}") for ask in ASKS for metric, column in columns_of(ask, equals).items()}
    asked |= {(metric, f"{VELOCITY}.{trailing(metric)}") for metric in equals if is_quarterly(metric)}  # four quarters
    assert {(metric, column) for metric, columns in equals.items() for column in columns} - asked == set()
