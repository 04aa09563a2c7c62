"""The undisturbed runs that every fault is measured against: made once, copied by the tests that go on from them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dagster_project.sources.demo import DemoSource
from tests.faults.runs import Place

DAY_BEFORE = "2025-11-10"  # what the second run lands came after it


@dataclass(frozen=True)
class Undisturbed:
    """`published` has everything until a day landed, built and released; `whole` the rest as well. Seconds of a run
    from nothing and of the one after."""

    published: Place
    whole: Place
    first_seconds: float
    second_seconds: float


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    DemoSource("tiny", 42, cache=folder / "demo").prepare()
    place = Place(folder / "before", WAREHOUSE_DEMO_SIZE="tiny")
    share_demo(place, folder)
    place.environment["WAREHOUSE_DEMO_UNTIL"] = DAY_BEFORE
    first = place.run()
    assert first.code == 0, first.err
    whole = place.copy(folder / "whole")
    second = whole.run()
    assert second.code == 0, second.err
    assert whole.release() != place.release()
    return Undisturbed(place, whole, first.seconds, second.seconds)


@pytest.fixture
def nothing_yet(undisturbed, tmp_path) -> Place:
    """A place where nothing has run."""
    place = Place(tmp_path / "place", **undisturbed.whole.given)
    share_demo(place, undisturbed.whole.folder.parent)
    return place


@pytest.fixture
def published_before(undisturbed, tmp_path) -> Place:
    """A place that has published, and the rest of the data to land."""
    return undisturbed.published.copy(tmp_path / "place")


def share_demo(place: Place, folder) -> None:
    """The demo's files are simulated once."""
    place.warehouse.parent.mkdir(parents=True)
    (place.warehouse.parent / "demo").symlink_to(folder / "demo")
