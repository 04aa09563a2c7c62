"""What is looked at in a deal: each feature sorts deals into few classes, which a person can read back as a reason.

Only what was known at the lock. Fields the CRM keeps no history of are read as unknown. Not here: what a class is
worth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dagster_project.forecast.frame import STATUSES

UNKNOWN = 9_999
STAGES = 16  # stage orders above share the last class
TEXTS = 255  # classes of a text feature: names beyond share the last one


@dataclass(frozen=True)
class Feature:
    """`theme`: features of one theme are told as one reason. `levels`: how many classes there are."""

    name: str
    theme: str
    levels: int
    classify: Callable[[pd.DataFrame], np.ndarray]


def _bins(column: str, *edges: float, missing: float = UNKNOWN) -> tuple[int, Callable[[pd.DataFrame], np.ndarray]]:
    """A class a stretch between two edges; a missing value counts as `missing`."""
    return len(edges) + 1, lambda deals: np.digitize(deals[column].fillna(missing).to_numpy(dtype=float), edges)


def _text(column: str) -> tuple[int, Callable[[pd.DataFrame], np.ndarray]]:
    return TEXTS + 1, lambda deals: deals[f"{column}_code"].to_numpy()


def _pair(first: tuple, second: tuple) -> tuple[int, Callable[[pd.DataFrame], np.ndarray]]:
    return first[0] * second[0], lambda deals: first[1](deals) * second[0] + second[1](deals)


_STAGE = STAGES, lambda deals: np.clip(deals["stage_order"].to_numpy() + 1, 0, STAGES - 1)
_LEFT = _bins("days_left_in_quarter", 7, 14, 21, 28, 42, 56, 70)
_AGE = _bins("days_in_stage", 4, 8, 15, 30, 60)
_SEGMENT = _text("segment")

FEATURES = tuple(
    Feature(name, theme, *kind)
    for name, theme, kind in (
        ("stage", "stage", _text("stage")),
        ("stage_order", "stage", _STAGE),
        ("segment", "segment", _SEGMENT),
        ("segment_stage", "stage", _pair(_SEGMENT, _STAGE)),
        ("days_left", "time", _LEFT),
        ("stage_days_left", "time", _pair(_STAGE, _LEFT)),
        ("segment_days_left", "time", _pair(_SEGMENT, _LEFT)),
        ("days_in_stage", "age", _AGE),
        ("stage_days_in_stage", "age", _pair(_STAGE, _AGE)),
        ("segment_days_in_stage", "age", _pair(_SEGMENT, _AGE)),
        ("days_open", "age", _bins("days_open", 7, 15, 30, 60, 90)),
        ("close_date", "close_date", _bins("days_past_quarter", -60, -30, -14, 1, 15, 46, 92, 5_000)),
        ("overdue", "close_date", _bins("days_to_close", 0)),
        ("push_count", "pushes", _bins("push_count", 1, 2, 3, 1_000)),
        ("slip_count", "pushes", _bins("slip_count", 1, 2, 1_000)),
        ("category", "category", _text("forecast_category")),
        ("two_way_age", "touches", _bins("days_since_two_way", 4, 8, 15, 30, 61)),
        ("two_way_count", "touches", _bins("two_way_count_30d", 1, 2, 3, 4, 5)),
        ("meeting_count", "touches", _bins("meeting_count_30d", 1, 2, 3)),
        ("activity_count", "touches", _bins("activity_count_30d", 1, 3, 6, 10)),
        ("next_step", "next_step", _bins("days_to_next_step", 0, 5_000)),
        ("contact_count", "contacts", _bins("contact_count", 1, 2, 3, 4, missing=0)),
        *((f"{fact}_status", fact, _text(f"{fact}_status")) for fact in STATUSES),
        ("verified_count", "evidence", _bins("verified_count", 1, 2, 3, 4)),
        ("decision_date", "timeline", _bins("decision_past_quarter", -30, 1, 31, 5_000)),
        ("amount_change", "amount", _bins("amount_change_share", -0.1, -0.001, 0.001, 0.1, 5_000)),
        ("amount", "amount", _bins("amount_base", 1, 5_000, 10_000, 20_000, 40_000, 100_000, missing=0)),
        ("rep_win_rate", "rep", _bins("rep_win_rate_ratio", 0.8, 0.93, 1.07, 1.2, missing=1)),
    )
)
OFFSETS = np.cumsum([0] + [feature.levels for feature in FEATURES])
THEMES = tuple(dict.fromkeys(feature.theme for feature in FEATURES))

TEXT_COLUMNS = ("stage", "segment", "forecast_category", *(f"{fact}_status" for fact in STATUSES))
WIN_RATE_PRIOR = 20  # closed deals' worth of the company's rate in every rep's own


class Vocabulary:
    """Numbers for the texts of a column, in the order in which they turn up; 0 is unknown, the last one all that
    came too late."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, int]] = {}

    def code(self, column: str, values: pd.Series) -> np.ndarray:
        known = self._known.setdefault(column, {})
        places, names = pd.factorize(values)
        for name in sorted(set(names) - known.keys()):
            known[name] = min(len(known) + 1, TEXTS)
        return np.array([*(known[name] for name in names), 0], dtype=np.int64)[places]


class WinRates:
    """Every rep's win rate as of any lock, over the company's: won over closed, as known then, shrunk toward the
    company's."""

    def __init__(self, closings: pd.DataFrame) -> None:
        """closings: in the order in which they became known."""
        by_rep = closings.groupby("rep_id")["is_won"]
        self._reps = closings[["rep_id", "known_at"]].assign(won=by_rep.cumsum(), closed=by_rep.cumcount() + 1)
        self._known_at = closings["known_at"].to_numpy()
        self._won = np.concatenate([[0], np.cumsum(closings["is_won"].to_numpy())])

    def ratio(self, reps: pd.Series, lock_at: pd.Series) -> np.ndarray:
        asked = pd.DataFrame({"rep_id": reps.to_numpy(), "lock_at": lock_at.to_numpy()})
        pairs = asked.drop_duplicates().sort_values("lock_at", ignore_index=True)
        closed = np.searchsorted(self._known_at, pairs["lock_at"].to_numpy(), side="left")
        company = (self._won[closed] + 1) / (closed + 2)
        own = pd.merge_asof(
            pairs, self._reps, left_on="lock_at", right_on="known_at", by="rep_id", allow_exact_matches=False
        )
        rate = (own["won"].fillna(0) + WIN_RATE_PRIOR * company) / (own["closed"].fillna(0) + WIN_RATE_PRIOR)
        return asked.merge(pairs.assign(ratio=rate / company), how="left", on=["rep_id", "lock_at"])["ratio"].to_numpy()


def classify(deals: pd.DataFrame, vocabulary: Vocabulary, win_rates: WinRates) -> tuple[pd.DataFrame, np.ndarray]:
    """The deals with what is worked out for the features, and their classes: a column a feature, numbered through
    all features."""
    left = deals["days_left_in_quarter"]
    deals = deals.assign(
        days_past_quarter=(deals["days_to_close"] - left).clip(-400, 4_000),
        decision_past_quarter=(deals["days_to_decision"] - left).clip(-400, 4_000),
        days_to_next_step=deals["days_to_next_step"].clip(-400, 4_000),
        rep_win_rate_ratio=win_rates.ratio(deals["rep_id"], deals["lock_at"]),
        **{f"{name}_code": vocabulary.code(name, deals[name]) for name in TEXT_COLUMNS},
    )
    numbered = zip(FEATURES, OFFSETS, strict=False)
    return deals, np.column_stack([(first + feature.classify(deals)).astype(np.int16) for feature, first in numbered])
