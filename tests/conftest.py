"""What every test may ask for: a warehouse of its own, or the golden company's."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_project.settings import Settings
from tests.faults.undisturbed import Undisturbed, run_twice, undisturbed_in
from tests.golden.company import build_golden_company, golden_company_in
from tests.made_once import made_once
from tests.warehouse.company import Company

LONGEST = ("tests/warehouse/test_ground_truth.py", "tests/faults/test_kills.py", "tests/graph/test_run.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no process is left with one of them at the end."""
    places = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONGEST)))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(warehouse=tmp_path / "warehouse.duckdb", published=tmp_path / "published")


@pytest.fixture
def warehouse_path(settings: Settings) -> Path:
    return settings.warehouse


@pytest.fixture(scope="session")
def golden_company(tmp_path_factory) -> Company:
    """The golden company, built once."""
    return golden_company_in(made_once(tmp_path_factory, "golden", build_golden_company))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Undisturbed:
    """The tiny demo company, run whole twice."""
    return undisturbed_in(made_once(tmp_path_factory, "undisturbed", run_twice))
