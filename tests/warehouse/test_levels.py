"""A parent's additive figures are the sums of its children's, for every column whose yml calls it additive or semi-additive.

Ratios, medians, distinct counts and hand-overs do not add over levels; their yml says `non_additive`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
import yaml

from dagster_project.dbt_build import DBT_FOLDER

ROOMS = (
    "leading_indicators",
    "lagging_indicators",
    "hygiene",
    "team",
)  # forecast waits for its gate, and is not built here
CHILDREN = ("segment", "team", "rep")
# What a level does not tell at all: survival curves below the company, a team's call below the team
UNTOLD = {("rep_retention", child): "basis = 'hire_cohort'" for child in CHILDREN} | {
    ("forecast_accuracy", "rep"): "method = 'manager_commit'"
}


@dataclass(frozen=True)
class Mart:
    """A table cut by level: what else makes a row (`keys`), and what adds up."""

    table: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]


def levelled_marts() -> Iterator[Mart]:
    for room in ROOMS:
        for path in sorted((DBT_FOLDER / "models" / room).glob("*.yml")):
            yield from marts_of(path, room)


def marts_of(path: Path, room: str) -> Iterator[Mart]:
    for model in yaml.safe_load(path.read_text()).get("models", []):
        metas = {column["name"]: column.get("config", {}).get("meta", {}) for column in model.get("columns", [])}
        if {"level", "level_id"} <= set(metas):
            grain = model["config"]["meta"]["grain"]
            additive = [name for name, meta in metas.items() if meta.get("additivity") in ("additive", "semi_additive")]
            keys = [name for name in grain if name not in ("level", "level_id")]
            yield Mart(f"{room}.{model['name']}", tuple(keys), tuple(additive))


def sums_that_differ(mart: Mart, child: str) -> str:
    """SQL: the groups in which company less children is not nothing, with what is left of each column."""
    keys = "".join(f"{key}, " for key in mart.keys)
    left = ", ".join(
        f"sum(case level when 'company' then 1 else -1 end * coalesce({column}, 0)) as {column}"
        for column in mart.columns
    )
    untold = UNTOLD.get((mart.table.split(".")[1], child))
    return (
        f"select * from (select {keys}{left} from {mart.table} where level in ('company', '{child}')"
        f"{f' and not ({untold})' if untold else ''} group by {keys.removesuffix(', ') or 'true'}) as differences"
        f" where {' or '.join(f'{column} <> 0' for column in mart.columns)}"
    )


MARTS = list(levelled_marts())


def test_every_mart_cut_by_level_says_what_adds_up():
    assert [mart.table for mart in MARTS if not mart.columns] == []
    assert len(MARTS) > 3


@pytest.mark.parametrize("company", ["golden_company", "demo_company"])
@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.table)
def test_children_add_up_to_the_company(mart, company, request):
    company = request.getfixturevalue(company)
    for child in CHILDREN:
        differences = company.query(sums_that_differ(mart, child))
        assert not differences, (
            f"{mart.table}: {child}s do not add up; {', '.join(mart.keys + mart.columns)}: {differences[:5]}"
        )


@pytest.mark.parametrize(
    ("rows", "is_found"),
    [
        ("('company', 'all', 'w1', 3, null), ('team', 'A', 'w1', 1, null), ('team', 'B', 'w1', 2, null)", False),
        ("('company', 'all', 'w1', 3, 1), ('team', 'A', 'w1', 1, 1), ('team', 'B', 'w2', 2, 0)", True),
        ("('company', 'all', null, 3, 1), ('team', 'A', null, 3, null)", True),
        ("('team', 'A', 'w1', 3, 0)", True),
    ],
    ids=["good", "another week", "one column", "no parent"],
)
def test_a_difference_is_found(rows, is_found):
    with duckdb.connect() as connection:
        connection.execute(
            "create schema room; create table room.mart (level text, level_id text, week text, a decimal(18, 2), b bigint)"
        )
        connection.execute(f"insert into room.mart values {rows}")
        assert (
            bool(connection.execute(sums_that_differ(Mart("room.mart", ("week",), ("a", "b")), "team")).fetchall())
            is is_found
        )
