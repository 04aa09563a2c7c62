"""Why a deal's chance is what it is, in words: what counts most for it and against it, over the usual deal.

Points of features that tell of one thing are added up first. Not here: the points (`scorecard.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from dagster_project.forecast.features import FEATURES, THEMES
from dagster_project.forecast.frame import STATUSES
from dagster_project.forecast.scorecard import Scorecard

TOLD = 4
LEAST_POINTS = 0.05  # log-odds; less moves a chance by about one in a hundred


def _counted(value: float, one: str, many: str) -> str:
    return f"no {many}" if pd.isna(value) or value == 0 else f"1 {one}" if value == 1 else f"{value:,.0f} {many}"


def _close_date(deal) -> str:
    if pd.isna(deal.days_to_close):
        return "close date unknown"
    if deal.days_to_close < 0:
        return f"close date passed {_counted(-deal.days_to_close, 'day', 'days')} ago"
    past = deal.days_to_close - deal.days_left_in_quarter
    if past > 0:
        return f"close date {_counted(past, 'day', 'days')} after the quarter"
    return f"close date in {_counted(deal.days_to_close, 'day', 'days')}" if deal.days_to_close else "close date today"


def _next_step(deal) -> str:
    if pd.isna(deal.days_to_next_step):
        return f"next step {deal.next_step_status}"
    return f"next step {deal.next_step_status}, {'past' if deal.days_to_next_step < 0 else 'ahead'}"


def _timeline(deal) -> str:
    if pd.isna(deal.days_to_decision):
        return f"timeline {deal.timeline_status}"
    late = deal.days_to_decision > deal.days_left_in_quarter
    return f"timeline {deal.timeline_status}, decision {'after' if late else 'within'} the quarter"


def _touches(deal) -> str:
    if pd.isna(deal.days_since_two_way):
        return f"no two-way touch, {_counted(deal.activity_count_30d, 'activity', 'activities')} in 30 days"
    ago = _counted(deal.days_since_two_way, "day", "days")
    return f"{_counted(deal.two_way_count_30d, 'two-way touch', 'two-way touches')} in 30 days, the last {ago} ago"


# Theme to the columns that its words are made of, and the words.
WORDS: dict[str, tuple[list[str], Callable]] = {
    "stage": (["stage_name"], lambda deal: f"stage {deal.stage_name}"),
    "segment": (["segment"], lambda deal: f"segment {deal.segment}"),
    "time": (
        ["days_left_in_quarter"],
        lambda deal: f"{_counted(deal.days_left_in_quarter, 'day', 'days')} left in the quarter at this stage",
    ),
    "age": (
        ["days_in_stage", "days_open"],
        lambda deal: (
            f"{_counted(deal.days_in_stage, 'day', 'days')} in stage, {_counted(deal.days_open, 'day', 'days')} open"
        ),
    ),
    "close_date": (["days_to_close", "days_left_in_quarter"], _close_date),
    "pushes": (
        ["push_count"],
        lambda deal: (
            f"close date pushed {_counted(deal.push_count, 'time', 'times')}"
            if deal.push_count > 0
            else "close date never pushed"
        ),
    ),
    "category": (
        ["forecast_category"],
        lambda deal: "called " + ("nothing" if pd.isna(deal[0]) else deal.forecast_category.replace("_", " ")),
    ),
    "touches": (["days_since_two_way", "activity_count_30d", "two_way_count_30d"], _touches),
    "contacts": (["contact_count"], lambda deal: f"{_counted(deal.contact_count, 'contact', 'contacts')} on the deal"),
    "next_step": (["days_to_next_step", "next_step_status"], _next_step),
    "timeline": (["days_to_decision", "days_left_in_quarter", "timeline_status"], _timeline),
    **{
        fact: ([f"{fact}_status"], lambda deal, fact=fact: f"{fact.replace('_', ' ')} {deal[0]}")
        for fact in STATUSES
        if fact not in ("next_step", "timeline")
    },
    "evidence": (["verified_count"], lambda deal: f"{_counted(deal.verified_count, 'fact', 'facts')} verified"),
    "amount": (
        ["amount_base"],
        lambda deal: f"amount {deal.amount_base:,.0f}" if deal.amount_base > 0 else "no amount",
    ),
    "rep": (
        ["rep_win_rate_ratio"],
        lambda deal: f"the rep's past win rate is {deal.rep_win_rate_ratio:.0%} of the company's",
    ),
}


def tell(deals: pd.DataFrame, classes: np.ndarray, card: Scorecard) -> list[str]:
    """One text a deal: the strongest reasons, those for it first."""
    points = card.contributions(classes)
    themes = np.zeros((len(deals), len(THEMES)))
    for column, feature in enumerate(FEATURES):
        themes[:, THEMES.index(feature.theme)] += points[:, column]
    strongest = np.argsort(-np.abs(themes), axis=1, kind="stable")[:, :TOLD]
    strength = np.take_along_axis(themes, strongest, axis=1)
    words = np.full(strongest.shape, None, dtype=object)
    for number, theme in enumerate(THEMES):
        told = (strongest == number) & (np.abs(strength) >= LEAST_POINTS)
        words[told] = _words(theme, deals.iloc[np.flatnonzero(told.any(axis=1))])
    return [_text(*each) for each in zip(words.tolist(), (strength > 0).tolist(), strict=True)]


def _words(theme: str, deals: pd.DataFrame) -> np.ndarray:
    """A text a deal; deals that are alike in what the theme is about are put into words once."""
    columns, say = WORDS[theme]
    kinds = deals.groupby(columns, dropna=False, sort=False).ngroup().to_numpy()
    alike = deals[columns][~pd.Series(kinds).duplicated().to_numpy()]
    return np.array([say(deal) for deal in alike.itertuples(index=False)], dtype=object)[kinds]


def _text(words: list[str | None], is_for: list[bool]) -> str:
    sides = {"for": [], "against": []}
    for word, side in zip(words, is_for, strict=True):
        if word is not None:
            sides["for" if side else "against"].append(word)
    return ". ".join(f"{side}: {'; '.join(told)}" for side, told in sides.items() if told)
