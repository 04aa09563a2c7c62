"""Two runs at once: the second waits, says for whom, and finds nothing left to do."""

from __future__ import annotations

import time

from tests.faults.runs import finish


def test_second_run_waits_for_the_first(published_before, undisturbed):
    started = time.monotonic()
    both = [published_before.start() for _ in range(2)]
    ended = [finish(process, started) for process in both]
    assert [each.code for each in ended] == [0, 0], "\n".join(each.err for each in ended)
    assert sum("waiting for daily_refresh (pid " in each.out + each.err for each in ended) == 1
    assert published_before.differences(undisturbed.whole) == []
    assert published_before.release() is not None
