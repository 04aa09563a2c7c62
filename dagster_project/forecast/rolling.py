"""Every past lock forecast as it could have been: what is learned at a lock comes from quarters that had settled by
then.

Not here: how the forecasts are held against what came (`backtest.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pandas as pd

from dagster_project.forecast import deals as deal_model
from dagster_project.forecast import frame, quarter
from dagster_project.forecast.deals import DealModel, Scores
from dagster_project.forecast.features import Vocabulary, WinRates, classify
from dagster_project.forecast.quarter import OpenDeals

TRAINING = [
    *("opportunity_id", "quarter_start_date", "lock_at", "stage_order", "amount_base", "is_won_in_quarter"),
    *("won_amount_base", "over_at", "over_known_at", "is_won", "draw"),
]


@dataclass
class Lock:
    """One lock's deals with their scores and its people with their sums."""

    lock: pd.Series
    deals: pd.DataFrame
    classes: np.ndarray
    scores: Scores
    model: DealModel
    people: pd.DataFrame
    open_deals: OpenDeals


@dataclass
class Past:
    """What there is to learn from: training rows by settled quarter, and the fitted models by how many had settled;
    the classes of both are the vocabulary's. `people`: those of settled quarters, with what came."""

    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    parts: list[tuple[pd.DataFrame, np.ndarray]] = field(default_factory=list)
    models: dict[int, DealModel] = field(default_factory=dict)
    people: pd.DataFrame | None = None

    def model(self, settled_count: int, known_at: pd.Timestamp, share: float) -> DealModel:
        """What so many settled quarters say, learned from this share of their deals (0 to 1)."""
        if settled_count not in self.models:
            parts = self.parts[:settled_count]
            if not parts:
                return deal_model.NOTHING_KNOWN
            rows = pd.concat([rows for rows, _ in parts], ignore_index=True)
            classes = np.concatenate([classes for _, classes in parts])
            is_sample = (rows["draw"] <= share).to_numpy()
            self.models[settled_count] = deal_model.fit(rows[is_sample], classes[is_sample], known_at)
        return self.models[settled_count]


def score_locks(
    connection: duckdb.DuckDBPyConnection, lock_dates: Collection | None = None, past: Past | None = None
) -> Iterator[Lock]:
    """Every lock in order (or those of these dates), its deals scored by the model of that day. `past`: what was
    learned is kept in it, and not learned again."""
    past = past or Past()
    locks = frame.read_locks(connection)
    is_due = (
        locks["lock_date"].isin(pd.to_datetime(list(lock_dates)))
        if lock_dates is not None
        else locks["lock_date"].notna()
    )
    counts = locks.loc[is_due, "settled_count"]
    is_learned = past.models.keys() >= set(counts)
    settled = locks.loc[locks["settled_at"].notna(), "quarter_start_date"].unique()
    shares = deal_model.sample_shares(frame.rows_by_quarter(connection).reindex(settled, fill_value=0).to_numpy())
    frame.find_outcomes(connection)
    win_rates = WinRates(frame.closings(connection))
    everybody = dict(tuple(frame.people(connection, lock_dates).groupby("lock_date")))
    for quarter_start_date, group in locks.groupby("quarter_start_date", sort=True):
        due = group[is_due[group.index]]
        is_lesson = not is_learned and group["settled_at"].notna().any()
        if due.empty and not is_lesson:
            continue
        # learned from first when it has settled, or at the first lock that is due
        share = shares[max(len(past.parts) + 1, counts.min())] if is_lesson else 0.0
        deals, classes = classify(
            frame.deals_of_quarter(connection, quarter_start_date, due["lock_date"], share), past.vocabulary, win_rates
        )
        dates = deals["lock_date"].to_numpy()
        for _, lock in due.iterrows():
            model = past.model(lock["settled_count"], lock["lock_at"], shares[lock["settled_count"]])
            day = lock["lock_date"].to_datetime64()
            mine = slice(dates.searchsorted(day), dates.searchsorted(day, side="right"))
            part = deals.iloc[mine]
            scores = model.score(part, classes[mine])
            yield _summed(lock, part, classes[mine], scores, model, everybody.get(lock["lock_date"], _NOBODY))
        if is_lesson:
            sample = (deals["draw"] <= share).to_numpy()
            past.parts.append((deals.loc[sample, TRAINING], classes[sample]))


_NOBODY = pd.DataFrame(
    columns=[
        "lock_date",
        "rep_id",
        "team",
        "segment",
        "call_amount",
        "won_amount",
        "won_count",
        "days_on_job",
        "opened_count",
    ]
)


def _summed(
    lock: pd.Series, deals: pd.DataFrame, classes: np.ndarray, scores: Scores, model: DealModel, people: pd.DataFrame
) -> Lock:
    """The deals' expected amounts added to their owners; an owner who is not among the people joins them."""
    key = ["rep_id", "team", "segment"]
    owners = deals[key].drop_duplicates()
    people = people.merge(owners, how="outer", on=key).sort_values(key, ignore_index=True)
    people = people.assign(
        **lock[["lock_date", "quarter_start_date", "week_of_quarter"]],
        call_amount=people["call_amount"].astype(float),
        won_amount=people["won_amount"].astype(float).fillna(0.0),
        won_count=people["won_count"].astype(float).fillna(0.0),
        days_on_job=people["days_on_job"].astype(float).fillna(0.0),
        opened_count=people["opened_count"].astype(float).fillna(0.0),
    )  # fmt: skip
    place = pd.MultiIndex.from_frame(people[key]).get_indexer(pd.MultiIndex.from_frame(deals[key]))
    expected = scores.by_quarter_end * scores.amount
    open_deals = OpenDeals(place, scores.by_quarter_end, scores.amount, model.amount_spread)
    n = len(people)
    people = people.assign(
        open_amount=np.bincount(place, expected, n),
        open_variance=open_deals.variance(n),
        open_count=np.bincount(place, scores.by_quarter_end, n),
        open_won_amount=np.bincount(place, deals["won_amount_base"].fillna(0.0), n),
        **_categories(deals, place, n),
        days_gone=(lock["lock_date"] - lock["quarter_start_date"]).days + 1,
        days_in_quarter=(lock["quarter_end_date"] - lock["quarter_start_date"]).days + 1,
        open_won_count=np.bincount(place, deals["is_won_in_quarter"], n),
    )
    return Lock(lock, deals, classes, scores, model, people, open_deals)


def _categories(deals: pd.DataFrame, place: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """By person: what is open in each category that evidence supports, and due by the quarter's end, and how much of
    it is won by then."""
    due = (deals["days_to_close"].fillna(9_999) <= deals["days_left_in_quarter"]).to_numpy()
    category = deals["supported_category"].to_numpy()
    amount, won = deals["stated_amount_base"].to_numpy(), deals["won_amount_base"].fillna(0.0).to_numpy()
    sums = {}
    for name in quarter.CATEGORIES:
        mine = due & (category == name)
        sums[f"{name}_amount"] = np.bincount(place[mine], amount[mine], n)
        sums[f"{name}_won_amount"] = np.bincount(place[mine], won[mine], n)
    return sums
