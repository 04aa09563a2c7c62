"""How a deal moves: at each stage it advances or is lost with a known chance, after a known time."""

from __future__ import annotations

from functools import cache

import numpy as np

from dagster_project.sources.demo.clock import DAY, quarter_end, quarter_start

PROSPECTING, QUALIFICATION, DISCOVERY, PROPOSAL, NEGOTIATION, WON, LOST = range(7)
OPEN_STAGES = 5
ADVANCE_LOGIT = (0.9, 0.30, 0.75, 0.85, 1.50)  # by stage, of an average deal
SEGMENT_LOGIT = (-0.10, 0.0, 0.10)
SOURCES = ("Inbound", "Outbound", "Partner", "Event", "Referral")
SOURCE_LOGIT = (0.10, -0.20, 0.15, -0.10, 0.35)
TYPES = ("new", "expansion", "renewal")
TYPE_LOGIT = (0.0, 0.35, 0.9)
QUALITY_LOGIT, SKILL_LOGIT = 0.70, 0.22
SKIP_SHARE = 0.07  # of the advances, straight to the stage after next

ADVANCE_DAYS = (11.0, 13.0, 17.0, 15.0, 15.0)  # mean, by stage, Mid-Market
LOST_SLOWER = 1.55
SEGMENT_PACE = (1.8, 1.0, 0.55)
GAMMA, WEIBULL, LOGNORMAL = range(3)
FAMILY_SHAPE = (2.0, 1.4, 0.7)  # gamma's k, Weibull's c, lognormal's sigma
SHORTEST_DAYS = 0.05
BUNCHING_SHARE = 0.30  # of the wins out of Negotiation wait for the last days of their quarter
BUNCHING_DAYS = 8


def advance_chance(stage, quality, skill, segment, source, kind) -> np.ndarray:
    """Chance to advance rather than be lost from a stage."""
    logit = np.array(ADVANCE_LOGIT)[stage] + QUALITY_LOGIT * quality + SKILL_LOGIT * skill
    logit = logit + np.array(SEGMENT_LOGIT)[segment] + np.array(SOURCE_LOGIT)[source] + np.array(TYPE_LOGIT)[kind]
    return 1 / (1 + np.exp(-logit))


def family(segment, stage, is_advance) -> np.ndarray:
    """Which distribution the days in a stage follow."""
    return (np.asarray(segment) + np.asarray(stage) + np.where(is_advance, 0, 1)) % 3


def mean_days(segment, stage, is_advance) -> np.ndarray:
    return np.array(ADVANCE_DAYS)[stage] * np.array(SEGMENT_PACE)[segment] * np.where(is_advance, 1.0, LOST_SLOWER)


@cache
def distribution(kind: int):
    """The family's distribution with mean 1."""
    from scipy import special, stats  # takes a second, which a run that reads a simulated company need not wait

    shape = FAMILY_SHAPE[kind]
    if kind == GAMMA:
        return stats.gamma(shape, scale=1 / shape)
    if kind == WEIBULL:
        return stats.weibull_min(shape, scale=1 / special.gamma(1 + 1 / shape))
    return stats.lognorm(shape, scale=np.exp(-(shape**2) / 2))


def draw_days(rng: np.random.Generator, segment, stage, is_advance) -> np.ndarray:
    kind, mean = family(segment, stage, is_advance), mean_days(segment, stage, is_advance)
    draws = np.empty(np.shape(stage))
    for each in (GAMMA, WEIBULL, LOGNORMAL):
        mine = kind == each
        shape, n = FAMILY_SHAPE[each], int(mine.sum())
        scale = distribution(each).kwds["scale"]
        if each == GAMMA:
            draws[mine] = rng.gamma(shape, scale, n)
        elif each == WEIBULL:
            draws[mine] = scale * rng.weibull(shape, n)
        else:
            draws[mine] = rng.lognormal(np.log(scale), shape, n)
    return np.maximum(draws * mean, SHORTEST_DAYS)


def share_within(days, segment, stage, is_advance=True) -> np.ndarray:
    """Share of the advances (or losses) from a stage that happen within so many days."""
    days, kind = np.asarray(days, dtype=float), family(segment, stage, is_advance)
    mean = mean_days(segment, stage, is_advance)
    result = np.zeros(np.shape(stage))
    for each in (GAMMA, WEIBULL, LOGNORMAL):
        mine = kind == each
        result[mine] = distribution(each).cdf(np.broadcast_to(days, mine.shape)[mine] / mean[mine])
    return np.where(days < SHORTEST_DAYS, 0.0, result)


def reach_chance(within_days: float, entered: np.ndarray, stage, segment, chance) -> np.ndarray:
    """True cumulative incidence: a later stage or the win reached within so many days of entry, lost competing.

    entered: continuous seconds. Wins out of Negotiation that wait for the quarter's end are allowed for.
    """
    plain = share_within(within_days, segment, stage)
    entered_day = entered / DAY
    until = entered_day + within_days
    opens, closes = quarter_start(np.floor(until)), quarter_end(np.floor(until)) + 1
    window = closes - BUNCHING_DAYS

    def by(day):
        return share_within(np.maximum(day - entered_day, 0), segment, stage)

    in_window = (
        by(opens) + (by(window) - by(opens)) * np.clip((until - window) / BUNCHING_DAYS, 0, 1) + plain - by(window)
    )
    waited = np.where(until < window, by(opens), in_window)
    bunched = np.where(np.asarray(stage) == NEGOTIATION, BUNCHING_SHARE, 0.0)
    return chance * ((1 - bunched) * plain + bunched * waited)


def wait_for_quarter_end(rng: np.random.Generator, instant: np.ndarray) -> np.ndarray:
    """Some wins before the quarter's last days move into them; continuous seconds in and out."""
    window = (quarter_end(np.floor(instant / DAY)) + 1 - BUNCHING_DAYS) * DAY
    waits = (rng.random(instant.size) < BUNCHING_SHARE) & (instant < window)
    return np.where(waits, window + rng.random(instant.size) * BUNCHING_DAYS * DAY, instant)


def walk(
    rng: np.random.Generator, first_stage, entered, quality, skill, segment, source, kind
) -> dict[str, np.ndarray]:
    """Every stay of every deal until it is won or lost: `entered`, `left` in continuous seconds, then `to`."""
    deal = np.flatnonzero(first_stage < OPEN_STAGES)
    stage, at = first_stage[deal], entered[deal]
    stays = []
    while deal.size:
        chance = advance_chance(stage, quality[deal], skill[deal], segment[deal], source[deal], kind[deal])
        advances = rng.random(deal.size) < chance
        skips = advances & (stage < NEGOTIATION) & (rng.random(deal.size) < SKIP_SHARE)
        left = at + draw_days(rng, segment[deal], stage, advances) * DAY
        to = np.where(advances, stage + 1 + skips, LOST)
        wins_late = advances & (stage == NEGOTIATION)
        left[wins_late] = wait_for_quarter_end(rng, left[wins_late])
        stays.append((deal, stage, at, left, to, chance))
        goes_on = to < OPEN_STAGES
        deal, stage, at = deal[goes_on], to[goes_on], left[goes_on]
    names = ("deal", "stage", "entered", "left", "to", "chance")
    columns = {name: np.concatenate(values) for name, values in zip(names, zip(*stays, strict=True), strict=True)}
    order = np.lexsort((columns["entered"], columns["deal"]))
    return {name: values[order] for name, values in columns.items()}
