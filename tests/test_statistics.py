"""The estimators of dbt/macros/statistics.sql against plain references, on random samples with and without ties.

References: the textbook sums written out in numpy, and scipy's own estimators where it has them. What a model does
with an estimate is tested beside the model, in its yml.
"""

from pathlib import Path

import duckdb
import jinja2
import numpy as np
import pandas as pd
import pytest
from scipy import stats

MACROS = Path(__file__).resolve().parents[1] / "dbt" / "macros" / "statistics.sql"
sql = jinja2.Environment().from_string(MACROS.read_text()).module
CENSORED, EVENT, COMPETING = 0, 1, 2


def sample(seed, n, *, ties, competing=True, censored=True):
    """One cell of n people: follow-up times and how each ended. Whole-number times tie often."""
    rng = np.random.default_rng(seed)
    ends = np.vstack(
        [
            rng.exponential(40, n),
            rng.exponential(60, n) if competing else np.full(n, np.inf),
            rng.uniform(0, 120, n) if censored else np.full(n, np.inf),
        ]
    )
    times = ends.min(axis=0)
    kind = np.choose(ends.argmin(axis=0), [EVENT, COMPETING, CENSORED])
    return (np.ceil(times / 7) if ties else times), kind


def counts(times, kind, entries=None, cell=1):
    """The rows the macros read: one a distinct time, with those at risk just before it."""
    entries = np.zeros_like(times) if entries is None else entries
    return pd.DataFrame(
        [
            {
                "cell": cell,
                "time": float(t),
                "at_risk_count": int(((times >= t) & (entries < t)).sum()),
                "event_count": int(((times == t) & (kind == EVENT)).sum()),
                "competing_count": int(((times == t) & (kind == COMPETING)).sum()),
            }
            for t in np.unique(times)
        ]
    )


def aalen_johansen(rows):
    """Survival, incidence and its delta-method variance at each row, by the sums as the literature prints them."""
    n, d1, d2 = (rows[c].to_numpy(float) for c in ("at_risk_count", "event_count", "competing_count"))
    survival = np.cumprod(1 - (d1 + d2) / n)
    before = np.concatenate([[1.0], survival[:-1]])
    incidence = np.cumsum(before * d1 / n)
    variance = []
    for last in range(len(rows)):
        total = 0.0
        for i in range(last + 1):
            gap, d = incidence[last] - incidence[i], d1[i] + d2[i]
            total += before[i] ** 2 * d1[i] * (n[i] - d1[i]) / n[i] ** 3 - 2 * gap * before[i] * d1[i] / n[i] ** 2
            if d < n[i]:
                total += gap**2 * d / (n[i] * (n[i] - d))
        variance.append(total)
    return survival, incidence, np.array(variance)


def ask(query, **frames):
    """Run a query over data frames; with two threads, as the warehouse does."""
    with duckdb.connect(config={"threads": 2}) as connection:
        for name, frame in frames.items():
            connection.register(name, frame)
        return connection.sql(query).df()


def close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual, float), np.asarray(expected, float), rtol=0, atol=1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [1, 2, 9, 90])
def test_cumulative_incidence_is_the_aalen_johansen_estimate_with_its_delta_variance(n, ties):
    cells = [counts(*sample(seed, n, ties=ties), cell=seed) for seed in range(12)]
    out = ask(
        f"select * from {sql.cumulative_incidence('rows', 'cell', 'time')} order by cell, time", rows=pd.concat(cells)
    )
    for cell in cells:
        survival, incidence, variance = aalen_johansen(cell)
        mine = out[out.cell == cell.cell[0]]
        close(mine.survival, survival)
        close(mine.incidence, incidence)
        close(mine.variance, variance)


@pytest.mark.parametrize("seed", range(5))
def test_rows_without_an_event_may_be_left_out(seed):
    rows = counts(*sample(seed, 60, ties=False))
    query = f"""select * from {sql.cumulative_incidence("rows", "cell", "time")}
        where event_count + competing_count > 0 order by time"""
    whole, some = ask(query, rows=rows), ask(query, rows=rows[rows.event_count + rows.competing_count > 0])
    close(some[["incidence", "variance"]], whole[["incidence", "variance"]])


@pytest.mark.parametrize("seed", range(8))
def test_events_between_two_censorings_may_be_taken_together(seed):
    """What stage_conversion does to stay fast: estimate and variance at the end of each run of events are the same."""
    rows = counts(*sample(seed, 120, ties=False))
    left = rows.at_risk_count - rows.event_count - rows.competing_count
    is_censored_here = left.to_numpy() != np.append(rows.at_risk_count.to_numpy()[1:], 0)
    run = np.concatenate([[0], np.cumsum(is_censored_here)[:-1]])
    merged = (
        rows.assign(run=run)
        .groupby("run")
        .agg(
            cell=("cell", "first"),
            time=("time", "last"),
            at_risk_count=("at_risk_count", "first"),
            event_count=("event_count", "sum"),
            competing_count=("competing_count", "sum"),
        )
    )
    assert len(merged) < len(rows)
    query = f"select * from {sql.cumulative_incidence('rows', 'cell', 'time')} order by time"
    whole, few = ask(query, rows=rows), ask(query, rows=merged)
    at_ends = whole[whole.time.isin(few.time)]
    close(few[["survival", "incidence", "variance"]], at_ends[["survival", "incidence", "variance"]])


@pytest.mark.parametrize("ties", [False, True])
def test_without_censoring_the_incidence_is_a_plain_share_with_binomial_variance(ties):
    times, kind = sample(3, 80, ties=ties, censored=False)
    out = ask(
        f"select * from {sql.cumulative_incidence('rows', 'cell', 'time')} order by time", rows=counts(times, kind)
    )
    share = np.array([((times <= t) & (kind == EVENT)).mean() for t in out.time])
    close(out.incidence, share)
    close(out.variance, share * (1 - share) / len(times))


@pytest.mark.filterwarnings(
    "ignore:The confidence interval is undefined:RuntimeWarning"
)  # at survival 0 and 1, asserted null
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_kaplan_meier_agrees_with_scipy_in_estimate_and_log_log_interval(seed, ties):
    times, kind = sample(seed, 70, ties=ties, competing=False)
    rows = counts(times, kind)
    out = ask(
        f"""select *,
            {sql.survival_low("survival", "variance")} as low,
            {sql.survival_high("survival", "variance")} as high
        from {sql.kaplan_meier("rows", "cell", "time")} order by time""",
        rows=rows,
    )
    fit = stats.ecdf(stats.CensoredData.right_censored(times, kind == CENSORED)).sf
    close(out.survival, fit.evaluate(out.time))
    inside = (out.survival > 1e-12) & (out.survival < 1 - 1e-12)
    interval = fit.confidence_interval(method="log-log")
    close(out.low[inside], interval.low.evaluate(out.time[inside]))
    close(out.high[inside], interval.high.evaluate(out.time[inside]))
    assert out.low[~inside].isna().all() and out.high[~inside].isna().all()


def test_kaplan_meier_is_the_incidence_without_a_competing_event():
    rows = counts(*sample(11, 90, ties=True, competing=False))
    survival = ask(f"select * from {sql.kaplan_meier('rows', 'cell', 'time')} order by time", rows=rows)
    incidence = ask(f"select * from {sql.cumulative_incidence('rows', 'cell', 'time')} order by time", rows=rows)
    close(survival.survival, 1 - incidence.incidence)
    kept = survival.survival > 1e-12
    close(survival.variance[kept], incidence.variance[kept])


@pytest.mark.parametrize("seed", range(4))
def test_kaplan_meier_takes_late_entries(seed):
    times, kind = sample(seed, 80, ties=True, competing=False)
    entries = np.floor(np.random.default_rng(seed + 100).uniform(0, 3, 80))
    seen = times > entries
    rows = counts(times[seen], kind[seen], entries[seen])
    out = ask(f"select * from {sql.kaplan_meier('rows', 'cell', 'time')} order by time", rows=rows)
    kept = 1 - rows.event_count / rows.at_risk_count
    survival = np.cumprod(kept)
    close(out.survival, survival)
    terms = rows.event_count / (rows.at_risk_count * (rows.at_risk_count - rows.event_count)).replace(0, np.inf)
    close(out.variance, survival**2 * np.cumsum(terms))


@pytest.mark.parametrize("n", [1, 7, 120])
def test_wilson_agrees_with_scipy_at_every_count(n):
    rows = pd.DataFrame({"k": range(n + 1), "n": n})
    out = ask(
        f"select k, {sql.wilson_low('k', 'n')} as low, {sql.wilson_high('k', 'n')} as high from rows order by k",
        rows=rows,
    )
    intervals = [stats.binomtest(int(k), n).proportion_ci(0.95, method="wilson") for k in out.k]
    close(out.low, [i.low for i in intervals])
    close(out.high, [i.high for i in intervals])


def test_nothing_counted_has_no_interval():
    out = ask(f"select {sql.wilson_low('0', '0')} as low, {sql.wilson_high('0', '0')} as high")
    assert out.isna().all(axis=None)


def test_the_interval_of_a_share_is_the_complementary_log_log_one():
    rng = np.random.default_rng(5)
    rows = pd.DataFrame({"share": rng.uniform(0.01, 0.99, 200), "variance": rng.uniform(1e-6, 0.02, 200)})
    out = ask(
        f"""select share, variance,
            {sql.share_low("share", "variance")} as low,
            {sql.share_high("share", "variance")} as high
        from rows""",
        rows=rows,
    )
    centre = np.log(-np.log1p(-out.share))
    half = stats.norm.ppf(0.975) * np.sqrt(out.variance) / ((1 - out.share) * -np.log1p(-out.share))
    close(out.low, -np.expm1(-np.exp(centre - half)))
    close(out.high, -np.expm1(-np.exp(centre + half)))


def test_a_share_of_nothing_or_everything_has_no_interval():
    rows = pd.DataFrame({"share": [0.0, 1.0], "variance": [0.0, 0.0]})
    out = ask(
        f"select {sql.share_low('share', 'variance')} as low, {sql.share_high('share', 'variance')} as high from rows",
        rows=rows,
    )
    assert out.isna().all(axis=None)


def test_the_incidence_interval_holds_the_truth_about_as_often_as_it_says():
    """300 cohorts of 60 with exponential ends: the truth at day 60 is known, and 95 % intervals should hold it."""
    cells = [counts(*sample(1000 + seed, 60, ties=False), cell=seed) for seed in range(300)]
    out = ask(
        f"""with standing as (
            select *, lead(time) over (partition by cell order by time) as next_time
            from {sql.cumulative_incidence("rows", "cell", "time")}
        )
        select {sql.share_low("incidence", "variance")} as low, {sql.share_high("incidence", "variance")} as high
        from standing where time <= 60 and next_time > 60""",
        rows=pd.concat(cells),
    )
    rate, competing_rate = 1 / 40, 1 / 60
    truth = rate / (rate + competing_rate) * -np.expm1(-60 * (rate + competing_rate))
    held = ((out.low <= truth) & (out.high >= truth)).mean()
    assert 0.92 <= held <= 0.98
