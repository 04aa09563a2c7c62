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


def test_a_table_is_replaced_whole_or_not_at_all(undisturbed, tmp_path):
    place = undisturbed.whole.copy(tmp_path)
    rates = "select count(*), sum(win_rate_value) from lagging_indicators.win_rate"
    standing = "select schema_name || '.' || table_name, 'table' from duckdb_tables() union all "
    standing += "select schema_name || '.' || view_name, 'view' from duckdb_views() where not internal order by all"

    def build():
        [node] = Dbt(place.warehouse).build(["--select", "win_rate", "--exclude-resource-type", "test"])
        return node

    def asked(sql: str) -> list[tuple]:
        with connect(place.warehouse) as connection:
            return connection.execute(sql).fetchall()

    before, stood = asked(rates), asked(standing)
    with connect(place.warehouse) as connection:
        connection.execute("create table kept as from core.fct_closings")
        connection.execute("alter table core.fct_closings alter team drop not null; update core.fct_closings set team = null")
    assert "NOT NULL constraint failed" in build().message
    assert asked(rates) == before

    with connect(place.warehouse) as connection:
        connection.execute("delete from core.fct_closings; insert into core.fct_closings from kept; drop table kept")
        connection.execute("drop table lagging_indicators.win_rate")
        connection.execute("create view lagging_indicators.win_rate as select 1 as number")
    assert build().status == "success"
    assert asked(rates) == before and asked(standing) == stood
