"""A run that is killed, wherever it stood, costs nothing but its time: the next one ends where an undisturbed one does.

FAULT_KILLS says how many (five unless said, fifty by `make faults`); their points are spread over the whole run.
"""

from __future__ import annotations

import os
import random

import pytest

KILLS = int(os.environ.get("FAULT_KILLS", "5"))


def moment(number: int) -> float:
    """A share of the run, random within its own slice, the same each time."""
    return (number + random.Random(number).random()) / KILLS


@pytest.mark.parametrize("number", range(KILLS), ids=lambda number: f"{moment(number):.0%}")
def test_killed_run_is_taken_up_by_the_next(number, request, undisturbed):
    has_published = number % 2 == 1
    place = request.getfixturevalue("published_before" if has_published else "nothing_yet")
    seconds = undisturbed.second_seconds if has_published else undisturbed.first_seconds
    served = place.release()

    place.kill_after(moment(number) * seconds)
    assert place.release() is not None or served is None, "the release served before is gone"

    ended = place.run()
    assert ended.code == 0, ended.err
    assert place.differences(undisturbed.whole) == []
    assert place.release() is not None
    assert place.leftovers() == []
