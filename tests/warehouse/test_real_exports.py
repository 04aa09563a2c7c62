"""Three real exports through mapping, landing and marts: what the published figures say must come out, each difference named.

lakehouse: exact duplicates dropped, the newest version kept, negative amounts and orphan accounts rejected by the mapping.
maven_crm: final records only; a missing engage date leaves a deal open with no creation, a lost deal's value is 0 in the export.
onyx_crm: leads and deals in one file, so that its win rate depends on what counts as a deal and as closed.
"""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from dagster_project.settings import PROJECT_ROOT
from tests.warehouse.company import Company, real_export

MAPPINGS = PROJECT_ROOT / "tests" / "sources" / "mappings"


def _company(tmp_path_factory, name: str) -> tuple[Company, dict]:
    folder = real_export(name)
    answers = json.loads((folder / "answers.json").read_text())
    company = Company(tmp_path_factory.mktemp(name), sources=("files",), files=MAPPINGS / f"{name}.yml")
    return company.build(), answers


@pytest.fixture(scope="module")
def lakehouse(tmp_path_factory):
    return _company(tmp_path_factory, "lakehouse")


@pytest.fixture(scope="module")
def maven(tmp_path_factory):
    return _company(tmp_path_factory, "maven_crm")


@pytest.fixture(scope="module")
def onyx(tmp_path_factory):
    return _company(tmp_path_factory, "onyx_crm")


# One row of the win rate's sums over its quarters; nothing here has a deal type, so `unknown` is every deal.
WIN_RATE = """
    select {by}, sum(won_count), sum(lost_count), sum(won_amount),
        1.0 * sum(won_count) / sum(won_count + lost_count), sum(won_amount) / sum(won_amount + lost_amount)
    from lagging_indicators.win_rate
    where level = '{level}' and basis = 'closed' and deal_type = 'unknown' and period_type = '{period}'
    group by 1
"""


def _win_rates(company: Company, by: str = "level_id", level: str = "company", period: str = "quarter") -> dict:
    return {key: rest for key, *rest in company.query(WIN_RATE.format(by=by, level=level, period=period))}


def _as_answered(answers: dict, digits: int = 4) -> dict:
    return {
        key: (value["won"], value["lost"], value["won_value"], round(value["win_rate"], digits))
        for key, value in answers.items()
    }


def _rounded(rates: dict, digits: int = 4) -> dict:
    return {key: (won, lost, float(amount), round(rate, digits)) for key, (won, lost, amount, rate, _) in rates.items()}


def test_lakehouse_keeps_and_rejects_what_the_mapping_says(lakehouse):
    company, answers = lakehouse
    assert company.one("select count(*) from core.fct_opportunities") == answers["kept"] == 2976
    rejected = "select count(*) from raw_files.rejected_rows where table_name = 'opportunities'"
    assert company.one(rejected) == answers["quarantined"] == 24


def test_lakehouse_wins(lakehouse):
    company, answers = lakehouse
    won, amount = company.query(
        "select count(*), sum(won_amount_base) from core.fct_opportunities where outcome = 'won'"
    )[0]
    assert (won, amount) == (847, Decimal(18639300)) == (answers["by_stage_kept"]["Closed Won"], answers["won_value"])


def test_lakehouse_wins_by_quarter_and_seller(lakehouse):
    company, answers = lakehouse
    by_quarter = company.query(
        "select replace(replace(fiscal_quarter, 'FY', ''), '-', ''), count(*), sum(won_amount_base) "
        "from core.fct_bookings group by 1"
    )
    assert {q: (n, float(a)) for q, n, a in by_quarter} == {
        q: (v["won"], v["won_value"]) for q, v in answers["by_close_quarter"].items()
    }
    by_seller = company.query("select rep_id, count(*), sum(won_amount_base) from core.fct_bookings group by 1")
    assert {s: (n, float(a)) for s, n, a in by_seller} == {
        s: (v["won"], v["won_value"]) for s, v in answers["by_seller"].items() if v["won"]
    }


def test_lakehouse_stage_stays(lakehouse):
    """The answers count all 3,000 unique deals; the mapping rejects 24 of them, whose stays are not here."""
    company, answers = lakehouse
    entered = dict(
        company.query(
            "select stage, count(distinct opportunity_id) from core.fct_stage_stays where outcome = 'open' group by 1"
        )
    )
    for stage, expected in answers["stage_history"]["stages"].items():
        assert expected["entered"] - 24 <= entered[stage] <= expected["entered"]
    assert entered["Prospecting"] == 2976


def test_lakehouse_activities(lakehouse):
    company, answers = lakehouse
    counted = dict(company.query("select type, count(*) from core.fct_activities group by 1"))
    assert counted == {name.lower(): n for name, n in answers["activities"]["by_type"].items()}


def test_lakehouse_waterfall_balances_to_the_cent(lakehouse):
    """The identities are dbt's data tests, which `build` ran; here that they had something to hold."""
    company, answers = lakehouse
    ending = company.one(
        "select sum(ending_amount) from leading_indicators.weekly_pipeline_waterfall where level = 'company' "
        "and week_start_date = (select max(week_start_date) from leading_indicators.weekly_pipeline_waterfall)"
    )
    assert float(ending) == answers["open_pipeline"]["amount"]


def test_lakehouse_win_rate(lakehouse):
    """Closed basis, broad: won / (won + lost); by value the same, a missing amount counting 0."""
    company, answers = lakehouse
    [(won, lost, _, by_count, by_value)] = _win_rates(company).values()
    assert (won, lost) == (847, 1749)
    assert (round(by_count, 6), round(float(by_value), 6)) == (answers["win_rate"], answers["win_rate_by_value"])


def test_lakehouse_win_rate_by_quarter_and_seller(lakehouse):
    company, answers = lakehouse
    quarters = _win_rates(company, "replace(replace(fiscal_quarter, 'FY', ''), '-', '')")
    assert _rounded(quarters) == _as_answered(answers["by_close_quarter"])
    assert _rounded(_win_rates(company, level="rep")) == _as_answered(answers["by_seller"])


def test_lakehouse_deal_size(lakehouse):
    """The published mean and median leave out won deals without an amount, which here count 0 and stand beside."""
    company, answers = lakehouse
    [(amount, won, unpriced)] = company.query(
        "select sum(won_amount), sum(won_count), sum(won_without_amount_count) from lagging_indicators.deal_size_and_cycle "
        "where level = 'company' and basis = 'closed'"
    )
    assert round(float(amount) / (won - unpriced), 4) == answers["avg_won"]
    median = company.one(
        "select median(amount_base) from core.fct_closings "
        "where period_type = 'quarter' and outcome = 'won' and amount is not null"
    )
    assert float(median) == answers["median_won"]


def test_lakehouse_sales_cycle(lakehouse):
    """Won deals by close quarter; the lost ones' cycle is no metric here, but stands in the closings."""
    company, answers = lakehouse
    by_quarter = company.query(
        "select replace(replace(fiscal_quarter, 'FY', ''), '-', ''), mean_cycle_days, median_cycle_days, negative_cycle_count "
        "from lagging_indicators.deal_size_and_cycle where level = 'company' and basis = 'closed'"
    )
    assert {quarter: (round(float(mean), 2), float(median)) for quarter, mean, median, _ in by_quarter} == {
        quarter: (value["won_cycle_mean"], value["won_cycle_median"])
        for quarter, value in answers["by_close_quarter"].items()
    }
    assert sum(negative for *_, negative in by_quarter) == 0
    overall = company.query(
        "select outcome, avg(cycle_days), median(cycle_days) from core.fct_closings where period_type = 'quarter' group by 1"
    )
    assert {outcome: (round(mean, 4), median) for outcome, mean, median in overall} == {
        outcome: (answers["cycle"][f"{outcome}_mean"], answers["cycle"][f"{outcome}_median"])
        for outcome in ("won", "lost")
    }


@pytest.mark.parametrize(
    ("answer", "first_day", "last_day"),
    [
        ("quota_attainment_CY2024", "2024-01-01", "2024-12-31"),
        ("quota_attainment_FY2025_Jul_Jun", "2024-07-01", "2025-06-30"),
    ],
)
def test_lakehouse_attainment(lakehouse, answer, first_day, last_day):
    """The published quota is the whole annual one; here it is that of the days on the job, which the hire date cuts."""
    company, answers = lakehouse
    attained = company.query(
        "select level_id, sum(won_amount), sum(full_quota_amount) from lagging_indicators.quota_attainment "
        "where level = 'rep' and period_type = 'quarter' and period_start_date >= ? and period_end_date <= ? group by 1",
        first_day,
        last_day,
    )
    days = dict(
        company.query(
            "select rep_id, sum(greatest(0, date_diff('day', greatest(valid_from_date, cast(? as date)), "
            "least(coalesce(valid_to_date, date '9999-12-31'), cast(? as date) + 1)))) "
            "from core.dim_reps where status <> 'left' and role = 'rep' group by 1",
            first_day,
            last_day,
        )
    )
    published = answers[answer]
    assert {rep: float(won) for rep, won, _ in attained if won} == {
        r: v["won"] for r, v in published.items() if v["won"]
    }
    quotas = {rep: float(quota) for rep, _, quota in attained}
    whole = {rep for rep, on_the_job in days.items() if on_the_job >= 365}
    assert len(whole) > 10
    for rep, value in published.items():
        # the leap year's days and the next year's carry the annual quota each on their own
        assert quotas.get(rep, 0) == pytest.approx(value["quota"] * days.get(rep, 0) / 365.5, rel=0.004)
    if first_day.endswith("01-01"):
        for rep in whole:
            [(won, quota)] = [(won, quota) for level_id, won, quota in attained if level_id == rep]
            if days[rep] == 366:
                assert round(float(won / quota), 4) == published[rep]["attainment"]


def test_maven_wins(maven):
    company, answers = maven
    won, closed, amount = company.query(
        "select count(*) filter (where outcome = 'won'), count(*) filter (where outcome <> 'open'), sum(won_amount_base) "
        "from core.fct_opportunities"
    )[0]
    assert (won, closed, amount) == (4238, 6711, Decimal(10005534))
    assert amount == answers["won_value"]


def test_maven_wins_by_quarter_and_rep(maven):
    company, answers = maven
    by_quarter = company.query(
        "select replace(replace(fiscal_quarter, 'FY', ''), '-', ''), count(*), sum(won_amount_base) "
        "from core.fct_bookings group by 1"
    )
    assert {q: (n, float(a)) for q, n, a in by_quarter} == {
        q: (v["won"], v["won_value"]) for q, v in answers["by_quarter"].items()
    }
    by_rep = company.query("select rep_id, count(*), sum(won_amount_base) from core.fct_bookings group by 1")
    assert {r: (n, float(a)) for r, n, a in by_rep} == {
        r: (v["won"], v["won_value"]) for r, v in answers["by_rep"].items()
    }


def test_maven_win_rate(maven):
    """Won / closed on the closed basis; won / all on the created basis, open deals in the denominator."""
    company, answers = maven
    [(_, lost, _, by_count, by_value)] = _win_rates(company).values()
    assert round(by_count, 6) == answers["win_rate_won_over_closed"]
    created = company.query(
        "select sum(won_count), sum(won_count + lost_count + open_count) from lagging_indicators.win_rate "
        "where level = 'company' and basis = 'created' and deal_type = 'unknown' and period_type = 'quarter'"
    )
    assert [round(won / every, 6) for won, every in created] == [answers["win_rate_won_over_all"]]
    # lost deals carry no value in this export: by value everything seems won, and the table says why
    assert by_value == 1
    assert lost == company.one(
        "select sum(without_amount_count) from lagging_indicators.win_rate where level = 'company' and basis = 'closed' "
        "and deal_type = 'unknown' and period_type = 'quarter'"
    )


def test_maven_win_rate_by_quarter_month_rep_and_manager(maven):
    company, answers = maven
    quarters = _win_rates(company, "replace(replace(fiscal_quarter, 'FY', ''), '-', '')")
    assert _rounded(quarters) == _as_answered(answers["by_quarter"])
    months = _win_rates(company, "strftime(month_start_date, '%Y-%m')", period="month")
    assert _rounded(months) == _as_answered(answers["by_month"])
    assert _rounded(_win_rates(company, level="rep")) == _as_answered(answers["by_rep"])
    # a team is a manager's agents
    assert _rounded(_win_rates(company, level="team")) == _as_answered(answers["by_manager"])


def test_maven_win_rate_by_product(maven):
    company, answers = maven
    by_product = company.query(
        "select o.product, count(*) filter (where c.outcome = 'won'), count(*) from core.fct_closings as c "
        "inner join core.fct_opportunities as o using (opportunity_id) where c.period_type = 'quarter' group by 1"
    )
    assert {product: (won, closed) for product, won, closed in by_product} == {
        product: (value["won"], value["closed"]) for product, value in answers["by_product"].items()
    }


def test_maven_sales_cycle_and_deal_size(maven):
    company, answers = maven
    by_quarter = company.query(
        "select replace(replace(fiscal_quarter, 'FY', ''), '-', ''), average_won_amount, mean_cycle_days, median_cycle_days "
        "from lagging_indicators.deal_size_and_cycle where level = 'company' and basis = 'closed'"
    )
    assert {q: (float(size), round(float(mean), 2), float(median)) for q, size, mean, median in by_quarter} == {
        quarter: (value["avg_won"], value["won_cycle_mean"], value["won_cycle_median"])
        for quarter, value in answers["by_quarter"].items()
    }
    [(days, cycles)] = company.query(
        "select sum(total_cycle_days), sum(cycle_count) from lagging_indicators.deal_size_and_cycle "
        "where level = 'rep' and basis = 'closed'"
    )
    assert (round(days / cycles, 3), cycles) == (answers["cycle"]["won_mean"], 4238)
    assert company.one(
        "select median(amount_base) from core.fct_closings where period_type = 'quarter' and outcome = 'won'"
    ) == Decimal(str(answers["median_won"]))


def test_onyx_win_rates(onyx):
    """Five published win rates of one file, each by its numerator and denominator; the mart's are two of the six ways."""
    company, answers = onyx
    stages = dict(company.query("select stage, count(*) from core.fct_opportunities group by 1"))
    opportunities = sum(n for stage, n in stages.items() if stage.startswith("Opportunity/"))
    won, lost = stages["Opportunity/Won"], stages["Opportunity/Lost"]
    customers = stages["Customer"] + stages["Churned Customer"]
    published = answers["win_rate_alternatives"]
    assert opportunities == answers["by_status"]["Opportunity"]
    # won stages over every opportunity, open ones too: a conversion, of a cohort that is not mature
    assert round(won / opportunities, 6) == published["stage_won_over_opportunity"]
    # won stages over closed stages: the closed basis, if only the status Opportunity is a deal
    assert round(won / (won + lost), 6) == published["stage_won_over_stage_closed"]
    # customers of today over every record: leads in the denominator, churned customers out of the numerator
    assert round(stages["Customer"] / sum(stages.values()), 6) == published["customer_over_all"]
    # whoever became a customer over them and the disqualified: no stage counts
    terminal = customers + stages["Disqualified"]
    assert round(customers / terminal, 6) == published["customer_plus_churned_over_terminal_status"]
    # every win over every end: what the mart says, on both bases, because every record is a deal in this mapping
    for basis in ("closed", "created"):
        [(mart_won, mart_lost, excluded)] = company.query(
            "select sum(won_count), sum(lost_count), sum(excluded_lost_count) from lagging_indicators.win_rate "
            "where level = 'company' and deal_type = 'all' and period_type = 'quarter' and basis = ?",
            basis,
        )
        assert (mart_won, mart_lost) == (won + customers, lost + stages["Disqualified"])
        assert round(mart_won / (mart_won + mart_lost), 6) == published["all_wins_over_all_terminal"]
        # a disqualified lead was no contest: the narrow rate leaves it out, which nobody published
        assert excluded == stages["Disqualified"]
    assert not any(
        company.query(
            "select is_mature from lagging_indicators.win_rate where level = 'company' and basis = 'created' and is_mature"
        )
    )


def test_onyx_cycles_and_values(onyx):
    """Actual close minus acquisition, of those who have an actual close."""
    company, answers = onyx
    cycles = company.query(
        "select o.stage, count(*), avg(c.cycle_days), median(c.cycle_days) from core.fct_closings as c "
        "inner join core.fct_opportunities as o using (opportunity_id) "
        "where c.period_type = 'quarter' and o.stage in ('Customer', 'Churned Customer') group by 1"
    )
    assert {stage: {"n": n, "mean": round(mean, 4), "median": median} for stage, n, mean, median in cycles} == answers[
        "cycle"
    ]
    values = dict(company.query("select stage, sum(amount_base) from core.fct_opportunities group by 1"))
    assert values["Opportunity/Won"] == answers["value"]["stage_won"]
    assert values["Customer"] == answers["value"]["customer"]
    assert sum(values.values()) == answers["value"]["total"]
