"""The graph, loaded once with the default settings, its dbt manifest parsed into a folder of the tests' own."""

from __future__ import annotations

import os
import warnings

import pytest

from tests.made_once import give_parsed


@pytest.fixture(scope="session")
def defs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    give_parsed(folder)
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("WAREHOUSE_", "DAGSTER_"))]:
        del os.environ[name]
    os.environ |= {"WAREHOUSE_PATH": str(folder / "warehouse.duckdb"), "WAREHOUSE_PUBLISHED": str(folder / "published")}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what other people's modules say while they are imported
            from dagster_project.definitions import defs

        yield defs
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def graph(defs):
    return defs.resolve_asset_graph()
