"""The three connectors against their emulated APIs give, row for row, the core tables that the demo source gives."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path

import pytest

from benchmarks.comparison import compare
from dagster_project.sources import landing
from dagster_project.sources.demo import DemoSource
from dagster_project.sources.registry import open_sources
from dagster_project.warehouse import connect, prepare
from tests.faults.test_kills import KILLS
from tests.sources.live import Live, SeenDemo, emulated, seen_at
from tests.warehouse.company import Company

# Looks at the company: a first load, and two later ones between which deals were won, lost, pushed, archived, restored
# and merged, people left, plan rates changed and history arrived late.
CLOCKS = [
    datetime.combine(day, time(23, 59, 59)) for day in (date(2024, 12, 15), date(2025, 6, 21), date(2025, 11, 16))
]
# What a first load tells as well as hundreds of daily ones do, because the APIs keep its past themselves.
TOLD_AT_ONCE = [
    "core.dim_accounts", "core.dim_dates", "core.fct_activities", "core.fct_booking_changes", "core.fct_bookings",
    "core.fct_created_deals", "core.fct_rep_activity_weeks", "core.fct_rep_tenure_months",
]  # fmt: skip
CORE = ("--select", "path:models/staging", "path:models/intermediate", "path:models/core", "resource_type:seed")
MODELS_ONLY = (*CORE, "--exclude", "resource_type:test", "resource_type:unit_test")


class Built(Company):
    """A company that is landed apart from its building."""

    def land(self, **changed) -> Built:
        return self

    def take(self, sources: list) -> None:
        with connect(self.settings.warehouse) as connection:
            prepare(connection)
            landing.activate(connection, sources)
            for source in sources:
                landing.land(connection, source, say=lambda line: None)
            for load in landing.pending(connection):
                landing.judge(connection, load.schema, load.load_id, accepted=True)


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory) -> Path:
    return DemoSource("tiny", 42, cache=tmp_path_factory.mktemp("demo")).prepare()


@pytest.fixture(scope="module")
def seen(demo_folder, tmp_path_factory) -> Path:
    return seen_at(demo_folder, CLOCKS, tmp_path_factory.mktemp("seen") / "company")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where warehouses are built, one after the other, so that the models are parsed once."""
    return tmp_path_factory.mktemp("live")


def built(folder: Path, name: str, fill) -> Path:
    """A warehouse filled by `fill` and built, put aside under the name."""
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    company = Built(folder, sources=("salesforce", "hubspot", "gong"))
    fill(company)
    company.build(*MODELS_ONLY, start_over=True)
    shutil.move(folder / "warehouse.duckdb", folder / f"{name}.duckdb")
    return folder / f"{name}.duckdb"


def by_the_apis(live: Live, monkeypatch, clocks: Sequence[datetime] = CLOCKS):
    for name, value in live.environment.items():
        monkeypatch.setenv(name, value)

    def fill(company: Built) -> None:
        for clock in clocks:
            live.move_to(clock)
            company.take(open_sources(company.settings))

    return fill


def by_the_demo(seen: Path):
    def fill(company: Built) -> None:
        for until in (CLOCKS[0], CLOCKS[-1]):
            company.take([SeenDemo(seen, until)])

    return fill


def test_the_core_tables_are_those_of_the_demo(demo_folder, seen, folder, monkeypatch):
    with emulated(demo_folder) as live:
        by_api = built(folder, "by_api", by_the_apis(live, monkeypatch))
    by_demo = built(folder, "by_demo", by_the_demo(seen))
    compared = compare(by_api, by_demo, ("core",))
    assert compared.differences == ()
    assert compared.missing == ()
    assert compared.rows["core.fct_opportunity_states"] > 2000
    assert compared.rows["core.fct_pipeline_movements"] > 500
    assert compared.rows["core.fct_activities"] > 1000


@pytest.mark.skipif(KILLS < 50, reason="takes two more builds of the company: make faults")
def test_one_look_tells_what_the_apis_keep_the_past_of(demo_folder, folder, monkeypatch):
    with emulated(demo_folder) as live:
        at_once = built(folder, "at_once", by_the_apis(live, monkeypatch, CLOCKS[-1:]))
    every_day = built(folder, "every_day", lambda company: company.take([SeenDemo(demo_folder, CLOCKS[-1])]))
    differing = {difference.table for difference in compare(at_once, every_day, ("core",)).differences}
    assert differing.intersection(TOLD_AT_ONCE) == set()
