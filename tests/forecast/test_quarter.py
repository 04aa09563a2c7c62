"""The parts of a quarter's forecast: learned from quarters made up by hand, simulated where the sums are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dagster_project.forecast import quarter
from dagster_project.forecast.quarter import Calls, Learned, NewDeals, OpenDeals, Spread

QUARTERS = pd.date_range("2022-01-01", periods=8, freq="QS")
REPS = {f"r{number}": f"T{number % 3}" for number in range(12)}


def people(rng: np.random.Generator, habit: dict[str, float] | None = None, noise: float = 0.1) -> pd.DataFrame:
    """Settled quarters in which every rep brings about 100 on top of what is won, and calls it times a habit."""
    rows = []
    for start in QUARTERS:
        for rep, team in REPS.items():
            came = rng.gamma(16, 100 / 16)
            for week in (1, 5, 9, 13):
                rest = came * (1 - (week - 1) / 13)
                called = rest * (habit or {}).get(rep, 1.0) * np.exp(noise * rng.standard_normal())
                rows.append((start, week, rep, team, came - rest, called + came - rest, came, rest))
    names = [
        "quarter_start_date",
        "week_of_quarter",
        "rep_id",
        "team",
        "won_amount",
        "call_amount",
        "actual_amount",
        "rest",
    ]
    frame = pd.DataFrame(rows, columns=names)
    usual = 100 * (1 - (frame["week_of_quarter"] - 1) / 13)
    return frame.assign(
        segment="S", basis="model", open_amount=usual * 0.5, new_amount=usual * 0.5, days_on_job=91.0,
        opened_count=10.0, days_gone=7 * frame["week_of_quarter"], days_in_quarter=92,
    )  # fmt: skip


def test_calls_that_know_more_than_the_deals_are_believed_and_put_right():
    past = people(np.random.default_rng(3), habit={"r0": 2.0, "r1": 0.5})
    calls = quarter.fit_calls(past)
    assert calls.early_weight > 0.5 and calls.late_weight > 0.5
    assert calls.habits["r0"] < 0.7 < 0.9 < calls.habits["r5"] < 1.1 < 1.3 < calls.habits["r1"]


def test_calls_that_know_nothing_are_left_aside():
    rng = np.random.default_rng(4)
    past = people(rng)
    past["call_amount"] = past["won_amount"] + 100 * rng.gamma(2, 0.5, len(past))
    calls = quarter.fit_calls(past)
    assert calls.early_weight < 0.15 and calls.late_weight < 0.15


def test_without_a_settled_quarter_calls_count_nothing():
    assert quarter.learn(pd.DataFrame()) == Learned()
    row = people(np.random.default_rng(1)).head(3)
    assert (Calls().adjustment(row) == 0).all()


def test_nobody_who_has_not_called_is_adjusted():
    row = people(np.random.default_rng(1)).head(3).assign(call_amount=[np.nan, 500.0, 500.0])
    adjusted = Calls(0.5, 0.5, 1.0, {}).adjustment(row)
    assert adjusted[0] == 0 and (adjusted[1:] > 0).all()


def test_new_deals_follow_what_a_rep_opens():
    past = people(np.random.default_rng(5)).assign(new_actual_amount=50.0)
    new_deals = quarter.fit_new_deals(past)
    two = past.head(2).assign(opened_count=[10.0, 30.0], days_on_job=91.0)
    usual, busy = new_deals.expected(two)
    assert usual == pytest.approx(50, rel=0.05)
    assert busy == pytest.approx(50 * (30 + 10 / 91 * 28) / (10 + 10 / 91 * 28), rel=0.05)
    assert new_deals.expected(two.assign(days_on_job=0.0)).sum() == 0
    assert new_deals.expected(two.assign(days_gone=92)).sum() == 0


def test_a_segment_with_little_history_is_drawn_to_the_companys_rate():
    past = people(np.random.default_rng(5)).assign(new_actual_amount=50.0)
    rare = past[past["quarter_start_date"] == QUARTERS[0]].head(1).assign(segment="rare", new_actual_amount=5_000.0)
    rates = quarter.fit_new_deals(pd.concat([past, rare])).rates
    assert rates["rare", 1] < 100 * rates["S", 1] * 0.6


def _simulated(spread: Spread, deals: int = 400) -> tuple[pd.DataFrame, np.ndarray, OpenDeals]:
    rng = np.random.default_rng(2)
    owners = people(rng).head(1).drop(columns="rep_id").merge(pd.DataFrame({"rep_id": list(REPS)}), how="cross")
    owners = owners.assign(team=owners["rep_id"].map(REPS), week_of_quarter=1, won_amount=10.0, new_amount=0.0)
    deals_ = OpenDeals(rng.integers(0, len(owners), deals), rng.random(deals), rng.gamma(2, 50, deals), np.ones(25))
    expected = np.bincount(deals_.person, deals_.chance * deals_.amount, len(owners))
    owners = owners.assign(open_amount=expected, mean_amount=10 + expected)
    return owners, quarter.simulate(owners, deals_, spread, 0.0, [1, 2]), deals_


def test_draws_have_the_mean_and_the_spread_of_the_deals():
    owners, draws, deals = _simulated(Spread(1.0, 1.0, 0.0))
    assert draws.sum(axis=0).mean() == pytest.approx(owners["mean_amount"].sum(), rel=0.01)
    assert draws.sum(axis=0).var() == pytest.approx(deals.variance(len(owners)).sum(), rel=0.15)


def test_scale_and_shock_do_what_they_say():
    owners, plain, _ = _simulated(Spread(1.0, 1.0, 0.0))
    _, halved, _ = _simulated(Spread(0.5, 0.5, 0.0))
    assert halved.sum(axis=0).std() == pytest.approx(plain.sum(axis=0).std() / 2, rel=0.01)
    _, shaken, _ = _simulated(Spread(1.0, 1.0, 0.2))
    rest = (owners["mean_amount"] - owners["won_amount"]).sum()
    assert shaken.sum(axis=0).var() == pytest.approx(plain.sum(axis=0).var() + (0.2 * rest) ** 2, rel=0.2)


def test_nobody_is_drawn_below_what_is_won_and_means_stay():
    owners, draws, _ = _simulated(Spread(3.0, 3.0, 0.3), deals=20)
    won = owners["won_amount"].to_numpy()
    assert (draws >= won[:, None]).all() and (draws == won[:, None]).any()
    assert draws.mean(axis=1) == pytest.approx(owners["mean_amount"].to_numpy())


def test_calls_of_a_fourteenth_week_are_not_believed_beyond_all():
    row = people(np.random.default_rng(1)).head(1).assign(week_of_quarter=14, call_amount=0.0, won_amount=0.0)
    left = row["open_amount"] + row["new_amount"] + Calls(0.9, 1.0, 1.0, {}).adjustment(row)
    assert left.iloc[0] == pytest.approx(0)


def test_levels_of_the_range_come_from_the_same_draws():
    owners, draws, _ = _simulated(Spread())
    ranges = quarter.ranges(owners, draws).set_index(["level", "level_id"])
    for team, rows in owners.groupby("team").indices.items():
        low, _, high = np.percentile(draws[rows].sum(axis=0), [10, 50, 90])
        assert ranges.loc[("team", team)].tolist() == pytest.approx([low, np.median(draws[rows].sum(axis=0)), high])
    assert len(ranges) == 1 + 1 + 3 + len(REPS)


def test_a_simulation_is_the_same_whenever_it_is_drawn():
    assert np.array_equal(_simulated(Spread())[1], _simulated(Spread())[1])


def test_errors_larger_than_the_simulation_widen_it():
    past = people(np.random.default_rng(6))
    calm = past.assign(mean_amount=past["won_amount"] + past["rest"] * 1.02, variance=100.0**2)
    wild = past.assign(
        mean_amount=past["won_amount"] + past["rest"] * np.random.default_rng(7).gamma(4, 0.25, len(past)),
        variance=5.0**2,
    )
    assert quarter.fit_spread(calm).early_scale < 0.6
    assert quarter.fit_spread(wild).early_scale > 1.5


def test_an_error_common_to_everybody_is_a_shock_and_not_each_ones_own():
    past = people(np.random.default_rng(8))
    mood = past["quarter_start_date"].map(dict(zip(QUARTERS, [1.3, 0.7] * 4, strict=True)))
    shaken = past.assign(mean_amount=past["won_amount"] + past["rest"] * mood, variance=10.0**2)
    assert 0.15 < quarter.fit_spread(shaken).shock < 0.4


def test_new_deals_that_nobody_was_there_to_open_bring_nothing():
    assert NewDeals().expected(people(np.random.default_rng(1))).sum() == 0
