"""What becomes of an open deal: the chance that it is won by the quarter's end, and ever, and what it is then worth.

Learned from locks of settled quarters, from nothing known only later. Where there are too few of them, base rates. Not
here: deals not yet created, calls, ranges (`quarter.py`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dagster_project.forecast import scorecard
from dagster_project.forecast.features import OFFSETS, STAGES, UNKNOWN
from dagster_project.forecast.scorecard import Scorecard

MINIMUM_QUARTERS, MINIMUM_WINS = 2, 30  # settled quarters and wins in them, below which base rates stand in
BASE_RATE_PRIOR = 20  # deals' worth of the common rate in each stage's own
AMOUNT_PRIOR = 20  # won deals' worth of the common ratio in each stage's own
SAMPLE_ROWS = 150_000  # deals at locks; of more, a share of the deals that has about so many is learned from
LARGEST_WEIGHT = 10.0  # of a deal that stands for those not yet closed
RATIOS = np.arange(0.02, 1, 0.04)  # quantiles kept of won over open amount

MODEL, BASE_RATES, CRM = "model", "base_rates", "crm_probabilities"


@dataclass(frozen=True)
class Scores:
    """By deal, in the order of the rows scored. `amount`: what it is worth if won."""

    by_quarter_end: np.ndarray
    ever: np.ndarray
    amount: np.ndarray
    stage_rate: np.ndarray  # what the stage alone says: the base rate that skill is measured over
    basis: str


@dataclass(frozen=True)
class DealModel:
    """Fitted on `quarters` settled quarters; without scorecards only base rates are known, without those nothing."""

    quarters: int
    stage_rates: np.ndarray | None  # by stage order: won by the quarter's end
    ever_rate: float
    in_quarter: Scorecard | None
    later: Scorecard | None  # of deals not won by the quarter's end: won after it
    amount_ratios: np.ndarray  # by stage order: won amount over open amount
    amount_spread: np.ndarray  # quantiles of the ratio, mean 1
    unpriced_amount: float  # what a deal without an amount is won for

    def score(self, deals: pd.DataFrame, classes: np.ndarray) -> Scores:
        stage = _stage(deals)
        priced = deals["amount_base"].fillna(0).to_numpy()
        amount = np.where(priced > 0, priced * self.amount_ratios[stage], self.unpriced_amount)
        if self.stage_rates is None:
            due = deals["days_to_close"].fillna(UNKNOWN).to_numpy() <= deals["days_left_in_quarter"].to_numpy()
            chance = deals["probability"].fillna(0).clip(0, 1).to_numpy()
            return Scores(np.where(due, chance, 0.0), chance, amount, np.where(due, chance, 0.0), CRM)
        is_over = deals["days_left_in_quarter"].to_numpy() <= 0  # a lock on the quarter's last day
        rate = np.where(is_over, 0.0, self.stage_rates[stage])
        if self.in_quarter is None or self.later is None:
            soon = rate * np.clip(deals["days_left_in_quarter"].to_numpy() / 45, 0, 1)
            return Scores(soon, np.maximum(self.ever_rate, soon), amount, rate, BASE_RATES)
        soon = np.where(is_over, 0.0, self.in_quarter.probability(classes))
        return Scores(soon, soon + (1 - soon) * self.later.probability(classes), amount, rate, MODEL)


NOTHING_KNOWN = DealModel(0, None, 0.0, None, None, np.ones(STAGES), np.ones(RATIOS.size), 0.0)


def _stage(deals: pd.DataFrame) -> np.ndarray:
    return np.clip(deals["stage_order"].to_numpy() + 1, 0, STAGES - 1)


def sample_shares(rows: np.ndarray) -> np.ndarray:
    """The share of the deals to learn from once 0, 1, 2 … quarters have settled; rows: deals at locks of each.

    It goes by what had settled by then and never grows, so a sample is a part of the one before it and of new deals,
    and a lock's is the same whatever comes after it. Learned from SAMPLE_ROWS, a chance is off by some 1.2 points
    (mean, against learning from all), the sum of all by half a percent; the forecast is off by ten times that.
    """
    return np.minimum(1.0, SAMPLE_ROWS / np.maximum(np.cumsum([0, *rows]), 1))


def fit(deals: pd.DataFrame, classes: np.ndarray, known_at: pd.Timestamp) -> DealModel:
    """deals: locks of settled quarters. known_at: what became known after it does not count."""
    quarters = deals["quarter_start_date"].nunique()
    is_won = deals["is_won_in_quarter"].to_numpy(dtype=float)
    stage = _stage(deals)
    stage_rates = _shrunk(is_won, np.ones(len(deals)), stage, BASE_RATE_PRIOR) if quarters else None
    in_quarter = later = None
    ever_rate = 0.0
    rows, weights = _closed_later(deals, known_at)
    if rows.size:
        ever_rate = float(np.average(deals["is_won"].to_numpy(dtype=float)[rows], weights=weights))
    wins = deals.loc[is_won == 1, "opportunity_id"].nunique()
    if quarters >= MINIMUM_QUARTERS and wins >= MINIMUM_WINS:
        is_won_later = deals["is_won"].to_numpy(dtype=float)[rows]
        with ThreadPoolExecutor(2) as threads:  # numpy and scipy leave Python to others while they count
            fits = [
                threads.submit(scorecard.fit, classes, is_won, OFFSETS[-1]),
                threads.submit(scorecard.fit, classes[rows], is_won_later, OFFSETS[-1], weights),
            ]
        in_quarter, later = (each.result() for each in fits)
    return DealModel(quarters, stage_rates, ever_rate, in_quarter, later, *_amounts(deals, stage, is_won == 1))


def _closed_later(deals: pd.DataFrame, known_at: pd.Timestamp) -> tuple[np.ndarray, np.ndarray]:
    """Rows of deals not won by their quarter's end that were over, and known to be, by then; each weighted by one
    over the share of rows old enough to have shown an end after so many days, or quick ends would count for more
    than slow ones."""
    age = (known_at - deals["lock_at"]).dt.days.to_numpy()
    days = (deals["over_at"] - deals["lock_at"]).dt.days.fillna(UNKNOWN).to_numpy()
    is_known = (deals["over_known_at"] < known_at).to_numpy() & ~deals["is_won_in_quarter"].to_numpy()
    rows = np.flatnonzero(is_known)
    ages = np.sort(age)
    share = 1 - np.searchsorted(ages, days[rows], side="left") / max(ages.size, 1)
    return rows, np.minimum(1 / np.maximum(share, 1e-9), LARGEST_WEIGHT)


def _shrunk(values: np.ndarray, of: np.ndarray, group: np.ndarray, prior: float) -> np.ndarray:
    """Sum of values over sum of `of` by group, with `prior` cases of the common ratio in it."""
    total = values.sum() / max(of.sum(), 1e-9) if of.sum() else 0.0
    usual = of.mean() if of.size else 1.0
    above = np.bincount(group, values, STAGES) + prior * usual * total
    return above / (np.bincount(group, of, STAGES) + prior * usual)


def _amounts(deals: pd.DataFrame, stage: np.ndarray, is_won: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    won = deals["won_amount_base"].to_numpy()
    stood = deals["amount_base"].fillna(0).to_numpy()
    both = is_won & (stood > 0) & (won > 0)
    unpriced = float(np.mean(won[is_won])) if is_won.any() else 0.0
    if not both.any():
        return np.ones(STAGES), np.ones(RATIOS.size), unpriced
    ratios = _shrunk(won[both], stood[both], stage[both], AMOUNT_PRIOR)
    spread = np.quantile(np.clip(won[both] / stood[both], 0.2, 5), RATIOS)
    return ratios, spread / spread.mean(), unpriced
