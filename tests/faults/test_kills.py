"""A run that is killed, wherever it stood, costs nothing but its time: the next one ends where an undisturbed one does,
also where it takes up one that was killed while it took up another.

FAULT_KILLS says how many (five unless said, fifty by `make faults`); their points are spread over the whole run.
"""

from __future__ import annotations

import os
import random

import pytest

KILLS = int(os.environ.get("FAULT_KILLS", "5"))
IN_A_ROW = 3


def moment(number: int) -> float:
    """A share of the run, random within its own slice, the same each time."""
    return (number + random.Random(number).random()) / KILLS


def rows() -> list[list[int]]:
    """The kills, those of a first run and those of a later one apart, few enough in a row to take up by one run."""
    kinds = [list(range(first, KILLS, 2)) for first in (0, 1)]
    return [kind[start : start + IN_A_ROW] for kind in kinds for start in range(0, len(kind), IN_A_ROW)]


@pytest.mark.parametrize("numbers", rows(), ids=lambda numbers: ", ".join(f"{moment(each):.0%}" for each in numbers))
def test_killed_runs_are_taken_up_by_the_next(numbers, request, undisturbed):
    """The run that takes up a killed one is killed in its turn; the last one is left alone."""
    has_published = numbers[0] % 2 == 1
    place = request.getfixturevalue("published_before" if has_published else "nothing_yet")
    whole = undisturbed.whole if has_published else undisturbed.published
    seconds = undisturbed.second_seconds if has_published else undisturbed.first_seconds

    for number in numbers:
        served = place.release()
        place.kill_after(moment(number) * seconds)
        assert place.release() is not None or served is None, "the release served before is gone"

    ended = place.run()
    assert ended.code == 0, ended.err
    assert place.differences(whole) == []
    assert place.release() is not None
    assert place.leftovers() == []
