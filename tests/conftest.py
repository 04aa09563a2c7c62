"""What every test may ask for: a warehouse of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_project.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(warehouse=tmp_path / "warehouse.duckdb", published=tmp_path / "published")


@pytest.fixture
def warehouse_path(settings: Settings) -> Path:
    return settings.warehouse
