"""dbt's own unit tests: each model's SQL on rows small enough to work out by hand."""

from __future__ import annotations

from dagster_project.dbt_build import Dbt


def test_every_dbt_unit_test_passes(undisturbed, tmp_path):
    """They ask the tables that a model reads for their columns, so every model must stand."""
    nodes = list(Dbt(undisturbed.whole.copy(tmp_path).warehouse).unit_tests())
    assert len(nodes) > 90
    assert [f"{node.name}: {node.message}" for node in nodes if node.status != "pass"] == []
