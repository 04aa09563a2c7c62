"""Two whole runs that nothing disturbed, which every fault is measured against: made once, copied by who goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dagster_project.sources.demo import DemoSource
from tests.faults.runs import Place

TINY = {"WAREHOUSE_DEMO_SIZE": "tiny"}
DAY_BEFORE = "2025-11-10"  # what the second run lands came after it


@dataclass(frozen=True)
class Undisturbed:
    """`published` has everything until a day landed, built and released; `whole` the rest as well. Seconds of a run
    from nothing and of the one after."""

    published: Place
    whole: Place
    first_seconds: float
    second_seconds: float


def run_twice(folder: Path) -> None:
    """Everything until a day, run in `before/`; the rest as well in `whole/`."""
    DemoSource("tiny", 42, cache=folder / "demo").prepare()
    place = Place(folder / "before", **TINY)
    share_demo(place, folder)
    place.environment["WAREHOUSE_DEMO_UNTIL"] = DAY_BEFORE
    first = place.run()
    assert first.code == 0, first.err
    whole = place.copy(folder / "whole")
    second = whole.run()
    assert second.code == 0, second.err
    assert whole.release() != place.release()
    (folder / "seconds.json").write_text(json.dumps([first.seconds, second.seconds]))


def undisturbed_in(folder: Path) -> Undisturbed:
    seconds = json.loads((folder / "seconds.json").read_text())
    return Undisturbed(Place(folder / "before", **TINY), Place(folder / "whole", **TINY), *seconds)


def share_demo(place: Place, folder: Path) -> None:
    """The demo's files are simulated once."""
    place.warehouse.parent.mkdir(parents=True, exist_ok=True)
    (place.warehouse.parent / "demo").symlink_to(folder / "demo")
