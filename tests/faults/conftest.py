"""Where a fault strikes: a place that has not run yet, or one that has published."""

from __future__ import annotations

import pytest

from tests.faults.runs import Place
from tests.faults.undisturbed import DAY_BEFORE, TINY, share_demo


@pytest.fixture
def nothing_yet(undisturbed, tmp_path) -> Place:
    """A place where nothing has run, with what the first run of the undisturbed place had to land."""
    place = Place(tmp_path / "place", **TINY, WAREHOUSE_DEMO_UNTIL=DAY_BEFORE)
    share_demo(place, undisturbed.whole.folder.parent)
    return place


@pytest.fixture
def published_before(undisturbed, tmp_path) -> Place:
    """A place that has published, and the rest of the data to land."""
    return undisturbed.published.copy(tmp_path / "place")
