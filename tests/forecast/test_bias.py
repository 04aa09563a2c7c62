"""Habits in calls: found where they are planted, and seldom where there are none."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dagster_project.forecast import bias

QUARTERS = pd.date_range("2022-01-01", periods=8, freq="QS")


def _people(seed: int, planted: dict[str, float], reps: int = 40, quarters: int = 8) -> pd.DataFrame:
    """Reps who bring something else every quarter and call it with noise; some always call too little or too much."""
    rng = np.random.default_rng(seed)
    said = pd.MultiIndex.from_product(
        [range(reps), QUARTERS[:quarters], range(1, 13)], names=["rep", "quarter_start_date", "week_of_quarter"]
    ).to_frame(index=False)
    came = np.repeat(rng.gamma(4, 25, reps * quarters), 12)
    rep_id = "r" + said["rep"].astype(str)
    noise = np.exp(0.3 * rng.standard_normal(len(said)) - 0.045)
    return said.assign(
        rep_id=rep_id,
        team="T" + (said["rep"] % 5).astype(str),
        call_amount=came * rep_id.map(planted).fillna(1.0) * noise,
        won_amount=0.0,
        actual_amount=came,
    )


def _newest(people: pd.DataFrame) -> pd.DataFrame:
    told = bias.rep_bias(people)
    return told[told["quarter_start_date"] == told["quarter_start_date"].max()].set_index("rep_id")


def test_planted_habits_are_found_with_their_size():
    told = _newest(_people(1, {"r0": 0.6, "r1": 0.6, "r2": 1.6, "r3": 1.6}))
    assert told.loc[["r0", "r1"], "habit"].tolist() == ["sandbagging"] * 2
    assert told.loc[["r2", "r3"], "habit"].tolist() == ["happy_ears"] * 2
    assert told.loc[["r0", "r1"], "bias"].between(-0.5, -0.25).all()
    assert told.loc[["r2", "r3"], "bias"].between(0.3, 0.8).all()


def test_of_reps_without_a_habit_at_most_one_in_twenty_is_named():
    named = [(_newest(_people(seed, {}, reps=200))["habit"] != "none_shown").mean() for seed in range(4)]
    assert np.mean(named) <= 0.05


def test_what_everybody_does_a_little_is_nobodys_habit():
    told = _newest(_people(6, {f"r{number}": 1.05 for number in range(40)}))
    assert set(told["habit"]) == {"none_shown"}


def test_nobody_is_named_on_fewer_than_the_minimum_quarters():
    told = _newest(_people(2, {"r0": 0.2}, quarters=bias.MINIMUM_QUARTERS - 1))
    assert set(told["habit"]) == {"too_few_quarters"}


def test_a_quarter_is_read_with_those_before_it_alone():
    people = _people(3, {"r0": 0.6})
    early = people[people["quarter_start_date"] < QUARTERS[5]]
    later = bias.rep_bias(people)
    pd.testing.assert_frame_equal(
        bias.rep_bias(early), later[later["quarter_start_date"] < QUARTERS[5]].reset_index(drop=True)
    )


def test_a_rep_with_little_said_is_drawn_to_the_team():
    people = _people(4, {"r0": 0.5})
    short = people[(people["rep_id"] != "r0") | (people["quarter_start_date"] >= QUARTERS[7])]
    long_bias, short_bias = (_newest(each).loc["r0", "bias"] for each in (people, short))
    assert long_bias < short_bias


def test_nobody_called_and_nobody_told():
    assert bias.rep_bias(_people(5, {}).assign(call_amount=np.nan)).empty
