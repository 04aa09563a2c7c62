"""Fields that change over time. Values are whole numbers everywhere (cents, days, codes, indexes); `NONE` is null."""

from __future__ import annotations

import numpy as np

NONE = -1
SPAN = 1 << 32  # seconds a record's key spans


class Track:
    """One field of many records: `value[i]` holds for `record[i]` from the second `at[i]` on."""

    def __init__(self, record, at, value):
        record, at, value = (np.asarray(each, dtype=np.int64) for each in np.broadcast_arrays(record, at, value))
        key = record * SPAN + at
        order = np.argsort(key, kind="stable")
        key, value = key[order], value[order]
        last = np.ones(key.size, dtype=bool)
        last[:-1] = key[1:] != key[:-1]
        key, value = key[last], value[last]
        changes = np.ones(key.size, dtype=bool)
        changes[1:] = (value[1:] != value[:-1]) | (key[1:] // SPAN != key[:-1] // SPAN)
        self.key, self.value = key[changes], value[changes]

    @property
    def record(self) -> np.ndarray:
        return self.key // SPAN

    @property
    def at(self) -> np.ndarray:
        return self.key % SPAN

    def __len__(self) -> int:
        return self.key.size

    def value_at(self, record, at) -> np.ndarray:
        """The value of each record at each instant, `NONE` before its first."""
        if not len(self):
            return np.full(np.shape(record), NONE, dtype=np.int64)
        record = np.asarray(record, dtype=np.int64)
        found = np.searchsorted(self.key, record * SPAN + at, side="right") - 1
        known = (found >= 0) & (self.key[found] // SPAN == record)
        return np.where(known, self.value[found], NONE)

    def before(self) -> np.ndarray:
        """The value each change replaced, `NONE` for a record's first."""
        previous = np.full(len(self), NONE, dtype=np.int64)
        same = self.record[1:] == self.record[:-1]
        previous[1:][same] = self.value[:-1][same]
        return previous

    def is_first(self) -> np.ndarray:
        first = np.ones(len(self), dtype=bool)
        first[1:] = self.record[1:] != self.record[:-1]
        return first

    def plus(self, record, at, value) -> Track:
        """With more changes; at one instant the newer change stands."""
        record, at, value = np.broadcast_arrays(record, at, value)
        return Track(
            np.concatenate([self.record, record]), np.concatenate([self.at, at]), np.concatenate([self.value, value])
        )

    def only(self, keep: np.ndarray) -> Track:
        return Track(self.record[keep], self.at[keep], self.value[keep])

    def of(self, chosen: np.ndarray) -> Track:
        """Of the records where `chosen` (a flag per record) is set."""
        return self.only(chosen[self.record])


def stamps(*tracks: Track) -> tuple[np.ndarray, np.ndarray]:
    """Every (record, instant) at which any of the tracks changed, in order, once."""
    key = np.unique(np.concatenate([track.key for track in tracks]))
    return key // SPAN, key % SPAN


def daily(record: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last instant of each record and day: what a load at the day's end finds changed. Input as from `stamps`."""
    day = at // 86_400
    last = np.ones(record.size, dtype=bool)
    last[:-1] = (record[1:] != record[:-1]) | (day[1:] != day[:-1])
    return record[last], at[last]
