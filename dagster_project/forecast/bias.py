"""The habits in reps' calls: who regularly calls less than comes (sandbagging), who more (happy ears), and how sure
that is.

Read from settled quarters alone. What is called on top of what is won is held against what came on top of it, quarter
by quarter; a rep's mean is shrunk toward the team's. A name is put to it only where the interval leaves 0 out, after
enough quarters: a ground for a talk, not a verdict. Not here: what the forecast does with habits (`quarter.py`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

MINIMUM_QUARTERS = 4  # nobody is named on fewer
MINIMUM_CALLS = 4  # weeks called in a quarter, below which the quarter is left out
SURENESS = 1.959963984540054  # two-sided 95 %: of reps without a habit, one in twenty is named by chance
# Quarters' worth of calling just what comes in every rep's own ratio: nothing won or called is no infinite habit.
QUIET = 0.25
WORTH_NAMING = 0.1  # a smaller bias is nobody's habit, however sure
COMPANY_REPS = 4.0  # how many reps' worth the company's mean counts in a team's

READ = ["rep_id", "quarter_start_date", "team", "call_amount", "won_amount", "actual_amount"]
COLUMNS = [
    *("rep_id", "quarter_start_date", "team", "call_count", "called_amount", "came_amount", "quarter_count"),
    *("called_ratio", "team_bias", "bias", "bias_low", "bias_high", "habit"),
]


def quarters(people: pd.DataFrame) -> pd.DataFrame:
    """One row a rep and settled quarter: called, and what came, each on top of what was won at the time; means of
    the weeks."""
    called = people[people["call_amount"].notna() & people["actual_amount"].notna()]
    frame = called.assign(
        called_amount=(called["call_amount"] - called["won_amount"]).clip(lower=0),
        came_amount=(called["actual_amount"] - called["won_amount"]).clip(lower=0),
    )
    sums = frame.groupby(["rep_id", "quarter_start_date"]).agg(
        team=("team", "last"),
        call_count=("call_amount", "size"),
        called_amount=("called_amount", "mean"),
        came_amount=("came_amount", "mean"),
    )
    return sums[(sums["call_count"] >= MINIMUM_CALLS) & (sums["called_amount"] + sums["came_amount"] > 0)].reset_index()


def rep_bias(people: pd.DataFrame) -> pd.DataFrame:
    """One row a rep and settled quarter: the bias of all quarters up to it, shrunk, with its interval and what it is
    called."""
    told = quarters(people)
    parts = [
        _as_of(told[told["quarter_start_date"] <= start], start)
        for start in sorted(told["quarter_start_date"].unique())
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _as_of(told: pd.DataFrame, start: pd.Timestamp) -> pd.DataFrame:
    """Each rep's log of called over come, as a normal mean: teams shrunk toward the company, reps toward their team.

    A quarter's spread about its rep's ratio is taken to be the same for everybody; how far reps differ beyond that
    decides how much a rep's own quarters count.
    """
    reps = told.groupby("rep_id").agg(
        team=("team", "last"),
        quarter_count=("team", "size"),
        called=("called_amount", "sum"),
        came=("came_amount", "sum"),
    )
    usual = (reps["called"] + reps["came"]) / 2 / reps["quarter_count"]
    ratio = (reps["called"] + QUIET * usual) / (reps["came"] + QUIET * usual)
    own, size = (
        told["rep_id"].map(ratio),
        told["rep_id"].map((reps["called"] + ratio * reps["came"]) / 2 / reps["quarter_count"]),
    )
    residuals = (told["called_amount"] - own * told["came_amount"]) / size
    freedom = len(told) - len(reps)
    noise = max((residuals**2).sum() / freedom if freedom else 1.0, 1e-6) / reps["quarter_count"]
    log_ratio, n = np.log(ratio), reps["quarter_count"]
    company = float(np.average(log_ratio, weights=n))
    between = max(float(np.average((log_ratio - company) ** 2 - noise, weights=n)), 1e-6)
    weight = 1 / (noise + between)
    prior = COMPANY_REPS * float(weight.mean())
    teams = pd.DataFrame({"weight": weight, "sum": weight * log_ratio}).groupby(reps["team"]).sum()
    team = reps["team"].map((teams["sum"] + prior * company) / (teams["weight"] + prior))
    share = between / (between + noise)
    middle = team + share * (log_ratio - team)
    error = np.sqrt(share * noise + (1 - share) ** 2 / (reps["team"].map(teams["weight"]) + prior))
    bias, low, high = np.exp(middle) - 1, middle - SURENESS * error, middle + SURENESS * error
    habit = np.select(
        [n < MINIMUM_QUARTERS, (high < 0) & (bias <= -WORTH_NAMING), (low > 0) & (bias >= WORTH_NAMING)],
        ["too_few_quarters", "sandbagging", "happy_ears"],
        "none_shown",
    )
    named = {
        "called_ratio": ratio,
        "team_bias": np.exp(team) - 1,
        "bias": bias,
        "bias_low": np.exp(low) - 1,
    }
    result = reps[["quarter_count"]].assign(**named, bias_high=np.exp(high) - 1, habit=habit).reset_index()
    return told[told["quarter_start_date"] == start].merge(result, on="rep_id")[COLUMNS]
