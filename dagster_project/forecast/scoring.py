"""The forecast of a lock as rows to keep: of each open deal, and of the quarter at every level.

Not here: how a lock is scored (`rolling.py`), what is learned from earlier ones (`quarter.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd

from dagster_project.forecast import MODEL_VERSION, frame, quarter, reasons, rolling, store
from dagster_project.forecast.quarter import PERSON, Learned

PARTS = {
    "won_amount": "won_amount",
    "open_deals_amount": "open_amount",
    "new_deals_amount": "new_amount",
    "call_adjustment_amount": "call_adjustment_amount",
}


@dataclass(frozen=True)
class Forecast:
    """One lock's rows for `archive.deal_forecasts` and `archive.quarter_forecasts`."""

    deals: pd.DataFrame
    levels: pd.DataFrame


def score(
    connection: duckdb.DuckDBPyConnection, lock_dates: Collection, seed: int, past: rolling.Past | None = None
) -> Iterator[Forecast]:
    """Forecast these locks, each from what was known there. Calls and ranges are learned from the newest backtest;
    before the first one the calls are left out and the simulation's own spread holds."""
    past = past or rolling.Past()
    learned: dict[int, Learned] = {}
    for lock in rolling.score_locks(connection, lock_dates, past):
        if past.people is None:
            past.people = _past(connection)
        count = int(lock.lock["settled_count"])
        if count not in learned:
            learned[count] = quarter.learn(past.people[past.people["settled_at"] <= lock.lock["lock_at"]])
        yield rows(lock, *quarter.expect(lock, learned[count], seed), with_reasons=True)


def _past(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """People at locks of settled quarters with what came, as the newest backtest forecast them."""
    locks = frame.read_locks(connection)
    past = store.backtest_people(connection)
    if past.empty:
        past = _unforecast(connection, locks)
    settled = locks.set_index("lock_date")["settled_at"]
    return past.assign(settled_at=past["lock_date"].map(settled)).dropna(subset=["settled_at"])


def _unforecast(connection: duckdb.DuckDBPyConnection, locks: pd.DataFrame) -> pd.DataFrame:
    """The same without a forecast: enough to learn what deals not yet created bring."""
    columns = ["lock_date", "quarter_start_date", "week_of_quarter"]
    people = frame.people(connection).merge(locks.loc[locks["settled_at"].notna(), columns], on="lock_date")
    people = people.merge(frame.open_wins(connection), how="left", on=["lock_date", *PERSON])
    actual = frame.actuals(connection)
    people = people.merge(actual, how="left", on=["quarter_start_date", *PERSON])
    numbers = ["won_amount", "won_count", "open_won_amount", "open_won_count", "actual_amount", "actual_count"]
    people[numbers] = people[numbers].astype(float).fillna(0.0)
    return people.assign(
        basis="none",
        new_actual_amount=people["actual_amount"] - people["won_amount"] - people["open_won_amount"],
        new_actual_count=people["actual_count"] - people["won_count"] - people["open_won_count"],
    )


def rows(lock: rolling.Lock, people: pd.DataFrame, ranges: pd.DataFrame, with_reasons: bool) -> Forecast:
    return Forecast(_deals(lock, with_reasons), _levels(lock, people, ranges))


def _origin(lock: rolling.Lock) -> dict[str, object]:
    return {
        "basis": lock.scores.basis,
        "trained_quarter_count": lock.model.quarters,
        "model_version": MODEL_VERSION,
        "is_backfilled": bool(lock.lock["is_backfilled"]),
    }


def _deals(lock: rolling.Lock, with_reasons: bool) -> pd.DataFrame:
    deals, scores, card = lock.deals, lock.scores, lock.model.in_quarter
    told = reasons.tell(deals, lock.classes, card) if with_reasons and card else np.full(len(deals), None)
    columns = ["opportunity_id", "lock_date", *PERSON, "forecast_category", "supported_category"]
    return deals[columns].assign(
        amount_base=deals["stated_amount_base"],
        win_in_quarter_probability=scores.by_quarter_end,
        win_probability=scores.ever,
        amount_if_won=scores.amount,
        expected_amount=scores.by_quarter_end * scores.amount,
        base_rate=scores.stage_rate,
        reasons=told,
        **_origin(lock),
    )


def _levels(lock: rolling.Lock, people: pd.DataFrame, ranges: pd.DataFrame) -> pd.DataFrame:
    """Parts in cents a person, so that their sums agree at every level."""
    parts = {name: people[column].round(2).to_numpy() for name, column in PARTS.items()}
    parts["mean_amount"] = sum(parts.values())
    sums = [
        {name: np.bincount(codes, part, len(names)) for name, part in parts.items()}
        for _, codes, names in quarter.units(people)
    ]
    levels = ranges.assign(**{name: np.concatenate([unit[name] for unit in sums]) for name in parts})
    return levels.assign(lock_date=lock.lock["lock_date"], **_origin(lock))
