"""Time in the simulation: unix seconds and days as integers, working hours, months, quarters, seeded generators.

Durations run on a continuous clock; `working` then maps every instant of a week, in order, into Monday to Friday,
07:00 to 19:00. Order is kept and a duration moves by two days at most, its mean not at all.
"""

from __future__ import annotations

from datetime import date
from zlib import crc32

import numpy as np

DAY = 86_400
WEEK = 7 * DAY
MONDAY = 4 * DAY  # 1970-01-05, the first Monday of unix time
OPENS, HOURS = 7 * 3600, 12 * 3600
MONTH_DAYS = 30.4375
NEVER = 30_000  # a day (2052) after everything


def generator(seed: int, purpose: str, *parts: int) -> np.random.Generator:
    """A generator of its own for each purpose, so that one part of the demo never shifts another's draws."""
    return np.random.default_rng([seed, crc32(purpose.encode()), *parts])


def day_number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def working(instant: np.ndarray) -> np.ndarray:
    """Continuous seconds to whole seconds within working hours; never changes the order of two instants."""
    week, within = np.divmod(np.asarray(instant, dtype=np.float64) - MONDAY, WEEK)
    day, part = np.divmod(within * (5 / 7) / DAY, 1.0)
    return (MONDAY + week * WEEK + day * DAY + OPENS + part * HOURS).astype(np.int64)


def continuous(instant: np.ndarray) -> np.ndarray:
    """The continuous second that `working` maps to this instant of working hours."""
    week, within = np.divmod(np.asarray(instant, dtype=np.float64) - MONDAY, WEEK)
    day, part = np.divmod(within, DAY)
    worked = np.minimum(day + np.clip((part - OPENS) / HOURS, 0, 1), 4.999)
    return MONDAY + week * WEEK + worked * DAY * 7 / 5


def is_weekday(day: np.ndarray) -> np.ndarray:
    return (np.asarray(day) + 3) % 7 < 5


def next_monday(day: np.ndarray) -> np.ndarray:
    return day + (-(np.asarray(day) + 3)) % 7


def at_work(rng: np.random.Generator, day: np.ndarray) -> np.ndarray:
    """A random second of the given days' working hours."""
    return np.asarray(day, dtype=np.int64) * DAY + OPENS + rng.integers(0, HOURS, np.shape(day))


def month_start(day: np.ndarray) -> np.ndarray:
    return np.asarray(day, dtype="M8[D]").astype("M8[M]").astype("M8[D]").astype(np.int64)


def add_months(day: np.ndarray, months: np.ndarray | int) -> np.ndarray:
    """The same day of a later month, or that month's last day: the anniversaries tenure months are counted by."""
    moment = np.asarray(day, dtype="M8[D]")
    month = moment.astype("M8[M]")
    target = month + np.asarray(months)
    length = ((target + 1).astype("M8[D]") - target.astype("M8[D]")).astype(np.int64)
    within = np.minimum((moment - month.astype("M8[D]")).astype(np.int64), length - 1)
    return target.astype("M8[D]").astype(np.int64) + within


def quarter_start(day: np.ndarray) -> np.ndarray:
    month = np.asarray(day, dtype="M8[D]").astype("M8[M]").astype(np.int64)
    return (month // 3 * 3).astype("M8[M]").astype("M8[D]").astype(np.int64)


def quarter_end(day: np.ndarray) -> np.ndarray:
    """The last day of the quarter a day falls in."""
    month = np.asarray(day, dtype="M8[D]").astype("M8[M]").astype(np.int64)
    return (month // 3 * 3 + 3).astype("M8[M]").astype("M8[D]").astype(np.int64) - 1


def month_end(day: np.ndarray) -> np.ndarray:
    return (np.asarray(day, dtype="M8[D]").astype("M8[M]") + 1).astype("M8[D]").astype(np.int64) - 1


def tenure_month(start: np.ndarray, day: np.ndarray) -> np.ndarray:
    """1 for the first month since the start, by anniversaries of the start date."""
    start, day = np.broadcast_arrays(np.asarray(start, dtype="M8[D]"), np.asarray(day, dtype="M8[D]"))
    months = (day.astype("M8[M]") - start.astype("M8[M]")).astype(np.int64)
    return months + np.where(add_months(start, months) <= day.astype(np.int64), 1, 0)
