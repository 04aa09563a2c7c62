"""dbt's own unit tests: SQL on rows small enough to work out by hand; and what the engine keeps of the contracts."""

from __future__ import annotations

from dagster_project.dbt_build import Dbt
from dagster_project.warehouse import connect


def test_every_dbt_unit_test_passes(undisturbed, tmp_path):
    """They ask the tables that a model reads for their columns, so every model must stand."""
    nodes = list(Dbt(undisturbed.whole.copy(tmp_path).warehouse).unit_tests())
    assert len(nodes) > 90
    assert [f"{node.name}: {node.message}" for node in nodes if node.status != "pass"] == []


def test_the_engine_keeps_what_a_contract_says_of_its_columns(undisturbed, tmp_path):
    """A row that breaks it cannot be written, so no data test asks again."""
    place = undisturbed.whole.copy(tmp_path)
    kinds = {"not_null": "NOT NULL", "check": "CHECK"}
    promised = {
        (model["schema"], model["alias"], column["name"], kinds[constraint["type"]])
        for model in Dbt(place.warehouse).manifest["nodes"].values()
        if model["resource_type"] == "model"
        for column in model["columns"].values()
        for constraint in column["constraints"]
    }
    with connect(place.warehouse) as connection:
        kept = connection.execute(
            "select schema_name, table_name, unnest(constraint_column_names), constraint_type from duckdb_constraints()"
        ).fetchall()
    assert {kind for *_, kind in promised} == set(kinds.values())
    assert promised - set(kept) == set()
