"""What the company plans and what people call: monthly quotas, full and ramped, and weekly forecast calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagster_project.sources.demo.clock import (
    DAY,
    add_months,
    generator,
    month_end,
    month_start,
    quarter_end,
    quarter_start,
)
from dagster_project.sources.demo.company import MANAGER, REP, TENDENCY_BIAS, Company
from dagster_project.sources.demo.deals import Deals, productivity
from dagster_project.sources.demo.tracks import NONE

MONTHLY_QUOTA = (54_000, 33_000, 16_000)  # dollars of a usual territory, by segment
RAMP_SCHEDULE = (0.0, 0.25, 0.50, 0.75)  # share of the full quota in the first calendar months
FORESIGHT = (0.25, 0.85)  # how much of a call rests on what will happen rather than on the usual, first and last week
NOISE = (0.50, 0.12)  # standard deviation of a call's open part, first and last week
TEAM_MOOD, COMPANY_MOOD = 0.10, 0.12  # noise the reps of a team share in a week, all reps in a quarter
MANAGER_SEES_THROUGH = 0.5  # of the reps' bias, taken out by the manager


@dataclass
class Quotas:
    number: np.ndarray
    spell: np.ndarray
    month: np.ndarray  # first day
    month_end: np.ndarray
    is_ramped: np.ndarray
    cents: np.ndarray
    loaded: np.ndarray  # day


@dataclass
class Calls:
    number: np.ndarray  # one a person, quarter and scope
    spell: np.ndarray
    quarter: np.ndarray  # first day
    at: np.ndarray
    is_team: np.ndarray
    commit: np.ndarray
    best_case: np.ndarray
    pipeline: np.ndarray


def full_quota(spells) -> np.ndarray:
    """Dollars a month, by spell: the segment's, richer territories carrying more, though less than they are worth."""
    quota = np.array(MONTHLY_QUOTA)[np.maximum(spells.segment, 0)] * spells.potential**0.6
    return np.where(spells.role == REP, np.round(quota / 500) * 500, 0.0)


def quotas(company: Company) -> Quotas:
    """A rep's quota for every month from the start's to the end's, full and ramped; a manager has the team's sum."""
    spells = company.spells
    rep = np.flatnonzero((spells.role == REP) & (spells.start <= company.last_day) & (spells.end >= company.first_day))
    first = month_start(np.maximum(spells.start[rep], company.first_day))
    horizon = quarter_end(np.array(company.last_day))
    last = month_start(np.minimum(spells.end[rep], horizon))
    count = (
        np.asarray(last, "M8[D]").astype("M8[M]").astype(int)
        - np.asarray(first, "M8[D]").astype("M8[M]").astype(int)
        + 1
    )
    row = np.repeat(np.arange(rep.size), count)
    nth = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)
    spell, month = rep[row], add_months(first[row], nth)
    since = np.asarray(month, "M8[D]").astype("M8[M]").astype(int) - np.asarray(
        month_start(spells.start[spell]), "M8[D]"
    ).astype("M8[M]").astype(int)
    dollars = full_quota(spells)[spell]
    share = np.where(
        since < len(RAMP_SCHEDULE), np.array(RAMP_SCHEDULE)[np.minimum(since, len(RAMP_SCHEDULE) - 1)], 1.0
    )
    team = spells.team_on(spell, month)
    loaded = np.maximum(np.maximum(quarter_start(month), spells.start[spell]), company.first_day)
    loaded = np.minimum(loaded, np.maximum(month, spells.start[spell]))
    loaded = np.maximum(loaded, company.first_day)
    known = loaded <= np.minimum(spells.end[spell], company.last_day)
    spell, month, dollars, share, team, loaded = (a[known] for a in (spell, month, dollars, share, team, loaded))
    months, place = np.unique(month, return_inverse=True)
    teams = company.size.teams
    sums = np.zeros((months.size, teams))
    at_start = spells.start[spell] <= np.maximum(month, company.first_day)
    np.add.at(sums, (place[at_start], team[at_start]), dollars[at_start])
    day = np.maximum(months, company.first_day)
    manager_seat = teams * company.size.reps_per_team + np.arange(teams)
    holders = spells.holder(np.tile(manager_seat, months.size), np.repeat(day, teams))
    fits = (holders != NONE) & (np.repeat(day, teams) <= company.last_day)
    parts = [
        (spell, month, np.zeros(spell.size, dtype=bool), dollars, loaded),
        (spell, month, np.ones(spell.size, dtype=bool), dollars * share, loaded),
        (
            holders[fits],
            np.repeat(months, teams)[fits],
            np.zeros(int(fits.sum()), dtype=bool),
            sums.ravel()[fits],
            np.repeat(day, teams)[fits],
        ),
    ]
    spell, month, is_ramped, dollars, loaded = (np.concatenate(values) for values in zip(*parts, strict=True))
    order = np.lexsort((is_ramped, month, spell, loaded))
    spell, month, is_ramped, dollars, loaded = (a[order] for a in (spell, month, is_ramped, dollars, loaded))
    cents = np.round(dollars * 100).astype(np.int64)
    return Quotas(np.arange(spell.size), spell, month, month_end(month), is_ramped, cents, loaded)


def bookings(company: Company, deals: Deals) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spell that owned it at the close, second and dollars of each win, beyond the as-of day too."""
    won = np.flatnonzero(deals.is_won & (deals.removed > deals.closed) & ~deals.is_test)
    return deals.tracks["owner"].value_at(won, deals.closed[won]), deals.closed[won], deals.won_usd[won]


def calls(company: Company, deals: Deals) -> Calls:
    """Each Friday every rep calls the running quarter, then every manager the team; commit includes won to date."""
    rng = generator(company.seed, "calls")
    spells = company.spells
    fridays = np.arange(company.first_day, company.last_day + 1)
    fridays = fridays[(fridays + 3) % 7 == 4]
    rep = np.flatnonzero((spells.role == REP) & (spells.start <= company.last_day) & (spells.end >= company.first_day))
    spell, day = np.repeat(rep, fridays.size), np.tile(fridays, rep.size)
    here = (day >= spells.start[spell] + 7) & (day <= spells.end[spell]) & ~spells.is_on_leave(spell, day)
    spell, day = spell[here], day[here]
    at = day * DAY + 15 * 3600 + rng.integers(0, 7200, spell.size)
    opens, closes = quarter_start(day), quarter_end(day)
    owner, booked, dollars = bookings(company, deals)
    order = np.lexsort((booked, owner))
    key = owner[order] * (1 << 32) + booked[order]
    total = np.concatenate([[0.0], np.cumsum(dollars[order])])

    def won_before(second):
        return total[np.searchsorted(key, spell * (1 << 32) + second)]

    won = won_before(at) - won_before(opens * DAY)
    rest = won_before((closes + 1) * DAY) - won_before(at)
    left = (closes - day) / 92
    pace = productivity((day - spells.start[spell]) / 30.4, spells.ramp_speed[spell])
    to_come = 0.8 * left + 0.2 * np.minimum(left * 92 / 8, 1)  # bookings bunch in the quarter's last days
    usual = full_quota(spells)[spell] * 3 * 0.9 * to_come * pace
    foresight = FORESIGHT[1] + (FORESIGHT[0] - FORESIGHT[1]) * left
    noise = NOISE[1] + (NOISE[0] - NOISE[1]) * left
    bias = np.array(TENDENCY_BIAS)[spells.tendency[spell]]
    team = spells.team_on(spell, day)
    week = (day - company.first_day) // 7
    moods = rng.normal(0, TEAM_MOOD, (int(week.max()) + 1, company.size.teams))
    quarters, quarter = np.unique(opens, return_inverse=True)
    mood = moods[week, team] + rng.normal(0, COMPANY_MOOD, quarters.size)[quarter]
    open_part = (foresight * rest + (1 - foresight) * usual) * (1 + bias)
    open_part *= np.exp(noise * rng.standard_normal(spell.size) - noise**2 / 2 + mood)
    upside = open_part * rng.uniform(0.25, 0.7, spell.size)
    further = usual * rng.uniform(1.0, 2.2, spell.size)
    own = (spell, day, opens, at, won + open_part, won + open_part + upside, won + open_part + upside + further)
    sober = won + open_part / (1 + bias * MANAGER_SEES_THROUGH)
    teams = company.size.teams
    group = week * teams + team
    groups = np.unique(group)
    sums = [np.bincount(group, weights, minlength=int(groups[-1]) + 1)[groups] for weights in (sober, upside, further)]
    first_of = np.searchsorted(np.sort(group), groups)
    friday = day[np.argsort(group, kind="stable")][first_of]
    holder = spells.holder(teams * company.size.reps_per_team + groups % teams, friday)
    fits = holder != NONE
    noise = np.exp(rng.normal(0, 0.04, groups.size))
    commit = sums[0] * noise
    team_call = (
        holder,
        friday,
        quarter_start(friday),
        friday * DAY + 18 * 3600,
        commit,
        commit + sums[1],
        commit + sums[1] + sums[2],
    )
    team_call = tuple(values[fits] for values in team_call)
    spell, day, opens, at, commit, best, pipeline = (np.concatenate(pair) for pair in zip(own, team_call, strict=True))
    is_team = spells.role[spell] == MANAGER
    order = np.lexsort((spell, is_team, at // DAY))
    spell, opens, at, commit, best, pipeline, is_team = (
        a[order] for a in (spell, opens, at, commit, best, pipeline, is_team)
    )
    item = (spells.user[spell] * 100_000 + opens) * 2 + is_team
    _, first, number = np.unique(item, return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first))[number]
    commit, best, pipeline = (np.round(dollars / 100).astype(np.int64) * 10_000 for dollars in (commit, best, pipeline))
    return Calls(number, spell, opens, at, is_team, commit, best, pipeline)
