"""What a quarter will bring: won so far, the open deals, deals not yet created, and what the reps' calls add to them.

Means are set a person and add up over every level. Ranges come from one simulation of all deals at once, whose draws
add up likewise. Not here: a deal's own chance (`deals.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse

from dagster_project.forecast.deals import MODEL

LEVELS = {"company": None, "segment": "segment", "team": "team", "rep": "rep_id"}
PERSON = ["rep_id", "team", "segment"]
CATEGORIES = ("commit", "best_case", "pipeline")  # that evidence may support
DRAWS = 1_000
NEW_DEAL_PRIOR = 2.0  # quarters' worth of the company's rate in each segment's own
RATE_PRIOR_DAYS = 28  # days' worth of the segment's rate in every rep's own
NEARBY_WEEKS = {0: 1.0, 1: 0.5, 2: 0.25}  # weight of what was seen that many weeks of the quarter away
HABIT_PRIOR = 4.0  # quarters' worth of the common habit in every rep's own
CALL_PRIOR = 6.0  # settled team quarters' worth of leaving the calls aside
SPREAD_PRIOR = 4.0  # settled team quarters' worth of taking the simulation's own spread
SHOCK_PRIOR, LARGEST_SHOCK = 2.0, 0.5  # quarters' worth of the usual shock; the most it is taken for
HALF_OF_80 = 1.2816  # standard deviations on either side that hold 80 % of a bell curve
PERCENTILES = (10, 50, 90)


@dataclass(frozen=True)
class NewDeals:
    """Amount that deals not open at a lock win by the quarter's end, for each deal a day that a rep opens of late."""

    rates: dict[tuple[str, int], float] = field(default_factory=dict)  # by segment ('' the company) and week
    opened: dict[str, float] = field(default_factory=dict)  # deals a rep and day, by segment ('' the company)

    def expected(self, people: pd.DataFrame) -> np.ndarray:
        if not self.rates:
            return np.zeros(len(people))
        keys = zip(people["segment"], people["week_of_quarter"].clip(1, 14), strict=True)
        rates = np.array([self.rates.get(key, self.rates.get(("", key[1]), 0.0)) for key in keys])
        is_over = people["days_gone"].to_numpy() >= people["days_in_quarter"].to_numpy()
        return np.where(is_over, 0.0, rates * self.pace(people))

    def pace(self, people: pd.DataFrame) -> np.ndarray:
        """Deals a day each person opens, shrunk toward the segment's; nobody who left opens any."""
        usual = people["segment"].map(self.opened).fillna(self.opened.get("", 0.0)).to_numpy()
        days = people["days_on_job"].to_numpy(dtype=float)
        return np.where(days > 0, (people["opened_count"] + usual * RATE_PRIOR_DAYS) / (days + RATE_PRIOR_DAYS), 0.0)


def fit_new_deals(past: pd.DataFrame) -> NewDeals:
    """past: people at locks of settled quarters, with `new_actual_amount`."""
    if past.empty:
        return NewDeals()
    days = past["days_on_job"].clip(lower=0)
    opened = {"": past["opened_count"].sum() / max(days.sum(), 1)}
    by_segment = past.groupby("segment")[["opened_count", "days_on_job"]].sum()
    opened |= (by_segment["opened_count"] / by_segment["days_on_job"].clip(lower=1)).to_dict()
    pace = NewDeals({}, opened).pace(past)
    seen = past.assign(pace=pace).groupby(["segment", "week_of_quarter"])[["new_actual_amount", "pace"]].sum()
    segments = seen.index.get_level_values(0).unique()
    company = seen.groupby("week_of_quarter").sum()
    # a segment's own counts against the company's, with so many quarters' worth of what a segment usually opens
    usual = NEW_DEAL_PRIOR / past["quarter_start_date"].nunique() / len(segments)
    total, all_weeks = company["new_actual_amount"].sum(), company["pace"].sum()
    scale = {}
    for segment in segments:
        own = seen.loc[segment].sum()
        rate = (own["new_actual_amount"] + usual * total) / max(own["pace"] + usual * all_weeks, 1e-9)
        scale[segment] = max(rate, 0.0) / max(total / max(all_weeks, 1e-9), 1e-9)
    rates = {}
    for week in range(1, 15):
        amount, pace = _nearby(company, week)
        rates["", week] = max(amount / max(pace, 1e-9), 0.0)
        for segment in segments:
            own_amount, own_pace = _nearby(seen.loc[segment], week)
            expected = rates["", week] * scale[segment] * usual * pace
            rates[segment, week] = max((own_amount + expected) / max(own_pace + usual * pace, 1e-9), 0.0)
    return NewDeals(rates, opened)


def _nearby(seen: pd.DataFrame, week: int) -> tuple[float, float]:
    weights = np.array([NEARBY_WEEKS.get(abs(other - week), 0.0) for other in seen.index])
    if not weights.any():
        weights = np.array([1.0 / (1 + abs(other - week)) ** 2 for other in seen.index])
    return float(weights @ seen["new_actual_amount"]), float(weights @ seen["pace"])


@dataclass(frozen=True)
class Calls:
    """How far the reps' calls are believed: `weight` early and late in the quarter, each rep's `habit` (came over
    called)."""

    early_weight: float = 0.0
    late_weight: float = 0.0
    common_habit: float = 1.0
    habits: dict[str, float] = field(default_factory=dict)

    def adjustment(self, people: pd.DataFrame) -> np.ndarray:
        """What the calls, put right by habit, add to the deals, by person."""
        called = (people["call_amount"] - people["won_amount"]).clip(lower=0)
        habit = people["rep_id"].map(self.habits).fillna(self.common_habit)
        rest = people["open_amount"] + people["new_amount"]
        weight = self.early_weight + (self.late_weight - self.early_weight) * _elapsed(people)
        return (weight * (called * habit - rest)).fillna(0.0).to_numpy()


def _elapsed(people: pd.DataFrame) -> np.ndarray:
    """How far the quarter is, 0 in its first week, 1 from its thirteenth."""
    return np.clip((people["week_of_quarter"].to_numpy(dtype=float) - 1) / 12, 0, 1)


def fit_calls(past: pd.DataFrame) -> Calls:
    """past: people at locks of settled quarters, forecast as of those locks, with `actual_amount`."""
    called = past[past["call_amount"].notna()]
    if called["quarter_start_date"].nunique() < 1:
        return Calls()
    habits, common = _habits(called)
    habit = called["rep_id"].map(habits).fillna(common)
    rest = called["open_amount"] + called["new_amount"]
    frame = called.assign(
        deals_rest=rest,
        gain=(called["call_amount"] - called["won_amount"]).clip(lower=0) * habit - rest,
        miss=called["actual_amount"] - called["won_amount"] - rest,
    )
    teams = (
        frame.groupby(["quarter_start_date", "team", "week_of_quarter"])[["gain", "miss", "deals_rest"]]
        .sum()
        .reset_index()
    )
    size = 1 / np.maximum(teams.groupby("team")["deals_rest"].transform("mean"), 1.0)
    elapsed = _elapsed(teams)
    design = np.column_stack([(1 - elapsed), elapsed]) * (teams["gain"] * size).to_numpy()[:, None]
    target = (teams["miss"] * size).to_numpy()
    # the weeks of a team's quarter tell one story: the penalty is in team quarters, each of as many rows
    quarters = teams.groupby(["quarter_start_date", "team"]).ngroups
    penalty = CALL_PRIOR / quarters * np.diag((design**2).sum(axis=0))
    weights = np.linalg.solve(design.T @ design + penalty + 1e-9 * np.eye(2), design.T @ target)
    early, late = np.clip(weights, 0, 1)
    return Calls(float(early), float(late), common, habits)


def _habits(called: pd.DataFrame) -> tuple[dict[str, float], float]:
    """What came over what was called on top of what was won, mean of a quarter's weeks, shrunk toward everybody's."""
    frame = called.assign(
        called=(called["call_amount"] - called["won_amount"]).clip(lower=0),
        came=called["actual_amount"] - called["won_amount"],
    )
    quarters = frame.groupby(["rep_id", "quarter_start_date"])[["called", "came"]].mean()
    common = float(quarters["came"].sum() / max(quarters["called"].sum(), 1.0))
    reps = quarters.groupby("rep_id").agg(called=("called", "sum"), came=("came", "sum"), usual=("called", "mean"))
    prior = HABIT_PRIOR * reps["usual"]
    return ((reps["came"] + prior * common) / (reps["called"] + prior).clip(lower=1.0)).to_dict(), common


@dataclass(frozen=True)
class Spread:
    """How far off such forecasts were, against the simulation's own spread: `scale` early and late, and a common
    `shock`."""

    early_scale: float = 1.0
    late_scale: float = 1.0
    shock: float = 0.05  # of the rest of the quarter: one standard deviation

    def scale(self, people: pd.DataFrame) -> np.ndarray:
        return self.early_scale + (self.late_scale - self.early_scale) * _elapsed(people)

    def variance(self, people: pd.DataFrame) -> np.ndarray:
        return self.scale(people) ** 2 * people["variance"].to_numpy() + (self.shock * people["rest"].to_numpy()) ** 2


def fit_spread(past: pd.DataFrame) -> Spread:
    """past: people at locks of settled quarters with `mean_amount`, `variance` and `actual_amount`.

    The scale is set so that 80 % of the teams' errors lie in the middle 80 % of the draws, the shock by what the
    company's errors have beyond that; each shrunk toward what holds before anything is known. Twice, because one is
    part of the other.
    """
    if past.empty:
        return Spread()
    past = past.assign(rest=past["mean_amount"] - past["won_amount"], error=past["actual_amount"] - past["mean_amount"])
    columns = ["error", "variance", "rest"]
    teams = past.groupby(["quarter_start_date", "team", "week_of_quarter"])[columns].sum().reset_index()
    teams = teams[teams["variance"] > 0]
    company = past.groupby(["quarter_start_date", "week_of_quarter"])[columns].sum().reset_index()
    count = teams.groupby(["quarter_start_date", "team"]).ngroups
    quarters = company["quarter_start_date"].nunique()
    late = _elapsed(teams)
    spread = Spread(shock=0.0)
    for _ in range(2):
        error = teams["error"].abs().to_numpy() / np.sqrt(spread.variance(teams))
        early_scale, late_scale = (
            (count * scale * _quantile(error, weights, 0.8) / HALF_OF_80 + SPREAD_PRIOR) / (count + SPREAD_PRIOR)
            for scale, weights in ((spread.early_scale, 1 - late), (spread.late_scale, late))
        )
        spread = Spread(early_scale, late_scale, 0.0)
        size = (company["rest"] ** 2).sum() / quarters
        excess = (company["error"] ** 2 - spread.variance(company)).sum() / quarters
        usual = SHOCK_PRIOR * Spread.shock**2 * size
        shock = np.sqrt(max(quarters * excess + usual, 0.0) / max((quarters + SHOCK_PRIOR) * size, 1.0))
        spread = Spread(early_scale, late_scale, min(float(shock), LARGEST_SHOCK))
    return spread


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The value that so much of the weight lies at or below."""
    if not weights.sum():
        return HALF_OF_80
    order = np.argsort(values)
    passed = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(np.searchsorted(passed, share), values.size - 1)])


@dataclass(frozen=True)
class OpenDeals:
    """The scored open deals of one lock: `person` is the place of each deal's owner among the people."""

    person: np.ndarray
    chance: np.ndarray
    amount: np.ndarray
    spread: np.ndarray  # quantiles of won over expected amount

    def variance(self, people: int) -> np.ndarray:
        second = self.amount**2 * np.mean(self.spread**2)
        each = self.chance * second - (self.chance * self.amount) ** 2
        return np.bincount(self.person, each, people)


def simulate(
    people: pd.DataFrame, deals: OpenDeals, spread: Spread, new_deal_amount: float, seed: list[int]
) -> np.ndarray:
    """Draws of what each person will have won by the quarter's end: person x draw. Levels are sums of them.

    Each open deal is won or not, at an amount drawn about its own; new deals come one by one; the spread is then set to
    what such forecasts were off by, and one shock is shared by all. Nobody ends below what is won, and means stay.
    """
    rng = np.random.default_rng(seed)
    n = len(people)
    mean = (people["mean_amount"] - people["won_amount"]).to_numpy()
    new = people["new_amount"].to_numpy()
    drawn = np.zeros((n, DRAWS))
    order = np.argsort(deals.person, kind="stable")
    for part in np.array_split(order, 1 + order.size // 20_000):
        is_won = rng.random((part.size, DRAWS), dtype=np.float32) < deals.chance[part, None]
        ratio = np.zeros(is_won.shape)  # won over expected amount, deal x draw
        ratio[is_won] = deals.spread[rng.integers(0, deals.spread.size, np.count_nonzero(is_won), dtype=np.uint8)]
        amount = (deals.amount[part], (deals.person[part], np.arange(part.size)))
        drawn += sparse.csr_matrix(amount, (n, part.size)) @ ratio
    drawn -= drawn.mean(axis=1, keepdims=True)
    if new_deal_amount > 0:
        counts = rng.poisson((new / new_deal_amount)[:, None], (n, DRAWS)).astype(np.float32)
        size = new_deal_amount * (counts + np.sqrt(counts) * rng.standard_normal(counts.shape, dtype=np.float32))
        size = np.maximum(size, 0)
        drawn += size - size.mean(axis=1, keepdims=True)
    shock = spread.shock * rng.standard_normal(DRAWS)
    rest = mean[:, None] * (1 + shock)
    rest += spread.scale(people)[:, None] * drawn
    np.maximum(rest, 0, out=rest)
    drawn_mean = rest.mean(axis=1)
    rest *= np.divide(mean, drawn_mean, out=np.zeros(n), where=drawn_mean > 0)[:, None]
    rest += people["won_amount"].to_numpy()[:, None]
    return rest


def units(people: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, list | pd.Index]]:
    """Each level with the place of each person's unit among the level's units, and these units' names in order."""
    for level, column in LEVELS.items():
        yield level, *(pd.factorize(people[column], sort=True) if column else (np.zeros(len(people), int), ["all"]))


def ranges(people: pd.DataFrame, draws: np.ndarray) -> pd.DataFrame:
    """p10, p50 and p90 of every unit of every level, from the same draws."""
    parts = []
    for level, codes, names in units(people):
        of_unit = sparse.csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))), (len(names), len(codes)))
        sums = np.sort(of_unit @ draws, axis=1)  # percentiles of what is sorted are found sooner
        low, middle, high = np.percentile(sums, PERCENTILES, axis=1) if len(names) else ([], [], [])
        parts.append(
            pd.DataFrame(
                {"level": level, "level_id": names, "p10_amount": low, "p50_amount": middle, "p90_amount": high}
            )
        )
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class Learned:
    """What a lock takes from the settled quarters before it."""

    new_deals: NewDeals = field(default_factory=NewDeals)
    calls: Calls = field(default_factory=Calls)
    spread: Spread = field(default_factory=Spread)
    new_deal_amount: float = 0.0


def learn(past: pd.DataFrame) -> Learned:
    """past: the people of locks of settled quarters, as forecast there, with what came."""
    if past.empty:
        return Learned()
    modelled = past[past["basis"] == MODEL]
    count = past["new_actual_count"].sum()
    mean = past["new_actual_amount"].sum() / count if count > 0 else 0.0
    return Learned(fit_new_deals(past), fit_calls(modelled), fit_spread(modelled), float(max(mean, 0.0)))


def forecast_people(people: pd.DataFrame, learned: Learned) -> pd.DataFrame:
    """The people of a lock with what each is expected to have won by the quarter's end, in parts."""
    people = people.assign(new_amount=learned.new_deals.expected(people))
    people = people.assign(call_adjustment_amount=learned.calls.adjustment(people))
    rest = people["open_amount"] + people["new_amount"] + people["call_adjustment_amount"]
    return people.assign(
        mean_amount=people["won_amount"] + rest,
        variance=people["open_variance"] + 2 * people["new_amount"] * learned.new_deal_amount,
    )


def expect(lock, learned: Learned, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The people of a lock (`rolling.Lock`) with what is expected of each, and the range of every level."""
    people = forecast_people(lock.people.assign(basis=lock.scores.basis), learned)
    seeds = [seed, lock.lock["lock_date"].toordinal()]
    return people, ranges(people, simulate(people, lock.open_deals, learned.spread, learned.new_deal_amount, seeds))
