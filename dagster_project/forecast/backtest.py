"""Forecasts of past locks against what came: by level, method and week, and of the chances by class.

Every lock is forecast from what was known there (`rolling.py`), the model beside what people and simple rules said
then. Not here: the reps' habits (`bias.py`), keeping the results (`store.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

import duckdb
import numpy as np
import pandas as pd

from dagster_project.forecast import bias, frame, rolling, scoring, store
from dagster_project.forecast.deals import MODEL
from dagster_project.forecast.quarter import CATEGORIES, LEVELS, PERSON, Learned, expect, learn
from dagster_project.forecast.shapes import TABLES

BINS = 10


def with_actuals(people: pd.DataFrame, actual: pd.DataFrame) -> pd.DataFrame:
    """The people with what each won in the quarter; whoever won something and was not among them joins."""
    merged = people.merge(actual[[*PERSON, "actual_amount", "actual_count"]], how="outer", on=PERSON, sort=True)
    for name in ("lock_date", "quarter_start_date", "week_of_quarter", "basis"):
        merged[name] = people[name].iloc[0]
    numbers = merged.columns.difference(
        [*PERSON, "lock_date", "quarter_start_date", "week_of_quarter", "basis", "call_amount"]
    )
    merged[numbers] = merged[numbers].astype(float).fillna(0.0)
    return merged.assign(
        new_actual_amount=merged["actual_amount"] - merged["won_amount"] - merged["open_won_amount"],
        new_actual_count=merged["actual_count"] - merged["won_count"] - merged["open_won_count"],
    )


@dataclass(frozen=True)
class Forecasts:
    """A quarter's locks forecast: the people of each, the draws' percentiles by level, and, once the quarter has
    settled, what came and the deals' chances."""

    quarter_start_date: pd.Timestamp
    is_settled: bool
    people: pd.DataFrame
    ranges: pd.DataFrame
    chances: pd.DataFrame


def run(
    connection: duckdb.DuckDBPyConnection,
    seed: int,
    keep: Callable[[rolling.Lock, pd.DataFrame, pd.DataFrame], None] | None = None,
) -> Iterator[Forecasts]:
    """Forecast every lock in order, quarter by quarter; what came of settled quarters is learned as they settle. `keep`
    is handed each lock."""
    actual = dict(tuple(frame.actuals(connection).groupby("quarter_start_date")))
    settled: list[pd.DataFrame] = []  # people of each settled quarter, in order
    known: dict[int, tuple[Learned, np.ndarray]] = {}  # by how many quarters had settled
    for start, locks in groupby(rolling.score_locks(connection), lambda lock: lock.lock["quarter_start_date"]):
        people, ranges, chances = [], [], []
        for lock in locks:
            is_settled = pd.notna(lock.lock["settled_at"])
            count = int(lock.lock["settled_count"])
            if count not in known:
                known[count] = _lessons(settled[:count])
            learned, rates = known[count]
            expected, drawn = expect(lock, learned, seed)
            expected = expected.assign(category_amount=expected[_OPEN].to_numpy() @ rates)
            if keep is not None:
                keep(lock, expected, drawn)
            ranges.append(drawn.assign(lock_date=lock.lock["lock_date"]))
            people.append(with_actuals(expected, actual.get(start, _NO_ACTUALS)) if is_settled else expected)
            chances.append(_chances(lock))
        found = (pd.concat(parts, ignore_index=True) for parts in (people, ranges, chances))
        forecasts = Forecasts(start, is_settled, *found)
        if is_settled:
            settled.append(forecasts.people)
        yield forecasts


_OPEN, _WON = ([f"{name}_{kind}" for name in CATEGORIES] for kind in ("amount", "won_amount"))


def _lessons(settled: list[pd.DataFrame]) -> tuple[Learned, np.ndarray]:
    """What the people of settled quarters teach and, of what evidence supports, the share that came, by category."""
    past = pd.concat(settled, ignore_index=True) if settled else pd.DataFrame(0.0, [], [*_OPEN, *_WON])
    return learn(past), past[_WON].sum().to_numpy() / past[_OPEN].sum().clip(lower=1).to_numpy()


_NO_ACTUALS = pd.DataFrame(columns=[*PERSON, "actual_amount", "actual_count"])


def _chances(lock: rolling.Lock) -> pd.DataFrame:
    deals, scores = lock.deals, lock.scores
    due = deals["days_to_close"].fillna(9_999) <= deals["days_left_in_quarter"]
    return pd.DataFrame(
        {
            "lock_date": lock.lock["lock_date"],
            "quarter_start_date": lock.lock["quarter_start_date"],
            "basis": scores.basis,
            "is_won": deals["is_won_in_quarter"].to_numpy(dtype=float),
            "model": scores.by_quarter_end,
            "stage_rate": scores.stage_rate,
            "crm_probability": np.where(due, deals["probability"].fillna(0).clip(0, 1), 0.0),
        }
    )


def evaluate(connection: duckdb.DuckDBPyConnection, found: Forecasts) -> pd.DataFrame:
    """One row a method, lock and unit of a level of a settled quarter: forecast, what came, how far off; the model's
    range beside it."""
    people = found.people
    key = ["lock_date", "quarter_start_date", "week_of_quarter", *PERSON]
    rest = people["open_amount"] + people["new_amount"]
    amounts = {
        MODEL_METHOD: people["mean_amount"],
        "deals_only": people["won_amount"] + rest,
        "evidence_weighted": people["won_amount"] + people["category_amount"],
        "run_rate": people["won_amount"] * people["days_in_quarter"] / people["days_gone"],
    }
    parts = [
        people[key].assign(method=method, forecast_amount=amount.fillna(0.0).round(2))
        for method, amount in amounts.items()
    ]
    parts.append(_told(connection, found.quarter_start_date))
    parts.append(_last_quarter(connection, found.quarter_start_date))
    forecasts = pd.concat(parts, ignore_index=True)
    actual = people[[*key, "actual_amount", "actual_count"]]
    locks = people[["lock_date", "quarter_start_date", "week_of_quarter"]].drop_duplicates()
    forecasts = forecasts.merge(locks, on=["quarter_start_date", "week_of_quarter"], suffixes=("_told", ""))
    methods = forecasts[["method", "lock_date"]].drop_duplicates()
    both = pd.concat(
        [forecasts.drop(columns="lock_date_told"), methods.merge(actual, on="lock_date")], ignore_index=True
    )
    levels = pd.concat([_level(both, level) for level in LEVELS], ignore_index=True)
    levels = levels[(levels["method"] != "manager_commit") | (levels["level"] != "rep")]
    bases = people[["lock_date", "basis"]].drop_duplicates()
    drawn = found.ranges.assign(method=MODEL_METHOD)
    result = levels.merge(bases, on="lock_date").merge(
        drawn, how="left", on=["lock_date", "level", "level_id", "method"]
    )
    is_model = result["method"] == MODEL_METHOD
    # somebody who won and was nobody at the lock was expected to win nothing
    for name in ("p10_amount", "p50_amount", "p90_amount"):
        result.loc[is_model, name] = result.loc[is_model, name].fillna(0.0)
    return result[BACKTEST].sort_values(BACKTEST[:5], ignore_index=True)


MODEL_METHOD = "model"
BACKTEST = [
    *("method", "level", "level_id", "quarter_start_date", "week_of_quarter", "lock_date", "basis", "forecast_amount"),
    *("p10_amount", "p50_amount", "p90_amount", "actual_amount", "actual_count", "children_error_amount"),
]


def _level(parts: pd.DataFrame, level: str) -> pd.DataFrame:
    """Sums of a level, and how far its children were off, whichever way."""
    columns = list(LEVELS.values())
    own = LEVELS[level]
    below = columns[min(columns.index(own) + 1, len(columns) - 1)]
    lock = ["method", "lock_date", "quarter_start_date", "week_of_quarter"]
    child = (
        parts.groupby([*lock, *dict.fromkeys([own, below] if own else [below])], sort=False)[
            ["forecast_amount", "actual_amount", "actual_count"]
        ]
        .sum()
        .reset_index()
    )
    child["children_error_amount"] = (child["forecast_amount"] - child["actual_amount"]).abs()
    sums = (
        child.groupby([*lock, *([own] if own else [])], sort=False)[
            ["forecast_amount", "actual_amount", "actual_count", "children_error_amount"]
        ]
        .sum()
        .reset_index()
    )
    has_children = (level != "rep") & ((level != "team") | (sums["method"] != "manager_commit"))
    sums["children_error_amount"] = sums["children_error_amount"].where(has_children)
    return sums.assign(level=level, level_id=sums[own] if own else "all").drop(columns=[own] if own else [])


def _told(connection: duckdb.DuckDBPyConnection, quarter_start_date: pd.Timestamp) -> pd.DataFrame:
    return connection.execute(
        """
        select
            method, quarter_start_date, week_of_quarter, rep_id, team, segment,
            cast(amount as double) as forecast_amount
        from intermediate.int_forecasts_made
        where method in ('rep_commit', 'manager_commit', 'crm_weighted') and quarter_start_date = ?
        """,
        [quarter_start_date],
    ).df()


def _last_quarter(connection: duckdb.DuckDBPyConnection, quarter_start_date: pd.Timestamp) -> pd.DataFrame:
    """What the newest quarter that had settled by the lock brought."""
    locks = frame.read_locks(connection)
    settled = locks.loc[locks["settled_at"].notna(), "quarter_start_date"].drop_duplicates().tolist()
    locks = locks[(locks["settled_count"] > 0) & (locks["quarter_start_date"] == quarter_start_date)]
    before = locks.assign(before=[settled[count - 1] for count in locks["settled_count"]])
    actual = frame.actuals(connection).rename(
        columns={"quarter_start_date": "before", "actual_amount": "forecast_amount"}
    )
    columns = ["quarter_start_date", "week_of_quarter", "before"]
    return (
        before[columns]
        .merge(actual, on="before")
        .drop(columns=["before", "actual_count"])
        .assign(method="last_quarter")
    )


def calibration(found: Forecasts) -> pd.DataFrame:
    """Chances against outcomes, a row a method, quarter and class of chance, of locks that had a model."""
    chances = found.chances[found.chances["basis"] == MODEL]
    base = (chances["stage_rate"] - chances["is_won"]) ** 2
    parts = []
    for method in ("model", "stage_rate", "crm_probability"):
        chance = chances[method].to_numpy()
        parts.append(
            pd.DataFrame(
                {
                    "method": method,
                    "quarter_start_date": chances["quarter_start_date"],
                    "bin_number": np.minimum((chance * BINS).astype(int), BINS - 1),
                    "deal_count": 1,
                    "predicted_count": chance,
                    "won_count": chances["is_won"],
                    "squared_error": (chance - chances["is_won"]) ** 2,
                    "base_squared_error": base,
                }
            )
        )
    return pd.concat(parts).groupby(["method", "quarter_start_date", "bin_number"]).sum().reset_index()


def renew(connection: duckdb.DuckDBPyConnection, seed: int) -> dict[str, int]:
    """Put what a backtest finds now in the place of what the last one found, and forecast the locks that never were;
    returns rows by table. A quarter's rows are out of memory before the next quarter is read; a backtest that dies
    changes nothing of what the last one found."""
    done = set(store.forecast_dates(connection))
    filled: list[scoring.Forecast] = []
    settled: list[pd.DataFrame] = []
    kept = dict.fromkeys(TABLES, 0)

    def fill(lock: rolling.Lock, people: pd.DataFrame, ranges: pd.DataFrame) -> None:
        if lock.lock["lock_date"].date() not in done:
            filled.append(scoring.rows(lock, people, ranges, with_reasons=False))

    def keep(name: str, rows: pd.DataFrame) -> None:
        kept[name] += store.keep(connection, name, rows)

    with store.replacing(connection):
        for found in run(connection, seed, fill):
            if filled:
                keep("deal_forecasts", pd.concat([forecast.deals for forecast in filled]))
                keep("quarter_forecasts", pd.concat([forecast.levels for forecast in filled]))
                filled.clear()
            if found.is_settled:
                keep("backtest", evaluate(connection, found))
                keep("backtest_people", found.people)
                keep("calibration", calibration(found))
                settled.append(found.people[bias.READ])
        if settled:
            keep("rep_bias", bias.rep_bias(pd.concat(settled, ignore_index=True)))
    return kept
