"""The metric contract as data, read off dbt's manifest: no table without its grain, no number without its formula."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import pytest

from dagster_project import glossary
from dagster_project.dbt_build import Dbt
from dagster_project.glossary import ADDITIVITY, UNITS, UNITS_OVER_SOMETHING, asked_as, is_metric, is_numeric
from tests.made_once import give_parsed

MODEL_WORDS = ("basis_date", "exclusions", "minimum_n")
COLUMN_WORDS = {"formula", "denominator", "unit", "additivity", "semantic_layer"}
# Numbers that say where a row stands, not how much of anything there is.
PLACE = re.compile(r"(week_of_quarter|fiscal_year|tenure_month|.*_(id|number|order|rank))")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Mapping[str, Any]:
    folder = tmp_path_factory.mktemp("contract")
    give_parsed(folder)
    return Dbt(folder / "warehouse.duckdb").manifest


@pytest.fixture(scope="module")
def models(manifest) -> list[dict[str, Any]]:
    return glossary.public_models(manifest)


def breaches(model: Mapping[str, Any]) -> list[str]:
    """What a public model's yml leaves unsaid or says in words nobody knows."""
    meta, found = model["config"]["meta"], []
    if not model["description"].strip():
        found.append("no description")
    if not meta.get("grain"):
        found.append("no grain")
    strangers = [column for column in meta.get("grain", ()) if column not in model["columns"]]
    found += [f"grain names {column}, which is no column" for column in strangers]
    found += [f"no {word}" for word in MODEL_WORDS if not str(meta.get(word) or "").strip()]
    for column in model["columns"].values():
        found += [f"{column['name']}: {what}" for what in column_breaches(column, meta.get("grain", ()))]
    return found


def column_breaches(column: Mapping[str, Any], grain: list[str]) -> list[str]:
    meta = column["config"]["meta"]
    found = [] if column["description"].strip() else ["no description"]
    found += [f"unknown word {word}" for word in sorted(set(meta) - COLUMN_WORDS)]
    if not is_metric(column):
        is_key = column["name"] in grain or PLACE.fullmatch(column["name"])
        return found + (["no formula"] if is_numeric(column) and not is_key else [])
    unit, additivity = meta.get("unit"), meta.get("additivity")
    if unit not in UNITS:
        found.append(f"unit {unit} is none of {', '.join(UNITS)}")
    if additivity not in ADDITIVITY:
        found.append(f"additivity {additivity} is none of {', '.join(ADDITIVITY)}")
    is_over_something = unit in UNITS_OVER_SOMETHING or column["name"].startswith(("mean_", "average_"))
    if is_over_something and not meta.get("denominator"):
        found.append("no denominator")
    if is_over_something and additivity == "additive":
        found.append("a ratio or a mean does not add up")
    if "semantic_layer" in meta and not str(meta["semantic_layer"]).startswith("no: "):
        found.append("semantic_layer says neither a reason nor nothing: write 'no: why'")
    return found


def unexplained(model: Mapping[str, Any], metrics: Mapping[str, list[str]]) -> list[str]:
    """The metric columns that no metric of the semantic layer equals and that do not say why, or that do both."""
    return [
        name
        for name, column in model["columns"].items()
        if is_metric(column)
        and ("semantic_layer" in column["config"]["meta"]) == (f"{model['schema']}.{model['name']}.{name}" in metrics)
    ]


def test_every_public_table_and_number_says_what_it_means(models):
    found = {f"{model['schema']}.{model['name']}": breaches(model) for model in models}
    assert {name: missing for name, missing in found.items() if missing} == {}


def measured(manifest: Mapping[str, Any]) -> dict[str, list[str]]:
    """`schema.table.column` to the measures made of it, where a semantic model reads the column as it is."""
    found: dict[str, list[str]] = {}
    for rows in manifest["semantic_models"].values():
        relation = rows["node_relation"]
        for measure in rows["measures"]:
            column = f"{relation['schema_name']}.{relation['alias']}.{measure['expr']}"
            found.setdefault(column, []).append(measure["name"])
    return found


def test_every_metric_can_be_asked_or_says_why_not(manifest, models):
    """Core is what the semantic layer reads; the metrics are in the other schemas, some with their rows beside them."""
    metrics = measured(manifest) | asked_as(manifest)
    found = {model["name"]: unexplained(model, metrics) for model in models if model["schema"] != "core"}
    assert {name: columns for name, columns in found.items() if columns} == {}


def test_every_metric_of_the_semantic_layer_names_columns_that_exist(manifest, models):
    columns = {
        f"{model['schema']}.{model['name']}.{name}"
        for model in models
        for name, column in model["columns"].items()
        if is_metric(column)
    }
    assert set(asked_as(manifest)) <= columns
    for metric in manifest["metrics"].values():
        assert metric["description"].strip(), metric["name"]
        assert metric["config"]["meta"].get("equals") or metric["config"]["meta"].get("part_of"), metric["name"]


def test_glossary_is_what_the_models_say(manifest):
    assert glossary.PAGE.read_text() == glossary.render(manifest), "stale: make glossary, then review docs/glossary.md"


GOOD = {
    "name": "deals",
    "schema": "lagging_indicators",
    "description": "One row per level.",
    "config": {"meta": {"grain": ["level"], "basis_date": "day", "exclusions": "none", "minimum_n": "10"}},
    "columns": {
        "level": {"name": "level", "data_type": "varchar", "description": "Level.", "config": {"meta": {}}},
        "win_rate": {
            "name": "win_rate",
            "data_type": "decimal(9,6)",
            "description": "Won of closed.",
            "config": {"meta": {"formula": "a / b", "denominator": "b", "unit": "rate", "additivity": "non_additive"}},
        },
    },
}


def changed(where: str, value: Any) -> dict[str, Any]:
    """GOOD with one thing replaced; None takes it out."""
    model = copy.deepcopy(GOOD)
    *path, last = where.split("/")
    place = model
    for step in path:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return model


def test_a_model_that_says_everything_passes():
    assert breaches(GOOD) == []
    assert unexplained(GOOD, {"lagging_indicators.deals.win_rate": ["win_rate"]}) == []
    assert unexplained(changed("columns/win_rate/config/meta/semantic_layer", "no: it is not"), {}) == []


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        ("config/meta/grain", None, "no grain"),
        ("config/meta/grain", ["team"], "grain names team, which is no column"),
        ("config/meta/basis_date", None, "no basis_date"),
        ("config/meta/exclusions", "", "no exclusions"),
        ("config/meta/minimum_n", None, "no minimum_n"),
        ("columns/level/description", " ", "level: no description"),
        ("columns/level/data_type", "bigint", None),  # a number, but in the grain
        ("columns/win_rate/config/meta", {}, "win_rate: no formula"),
        ("columns/win_rate/config/meta/unit", "percent", "win_rate: unit percent is none of"),
        ("columns/win_rate/config/meta/unit", None, "win_rate: unit None is none of"),
        ("columns/win_rate/config/meta/additivity", "sometimes", "win_rate: additivity sometimes is none of"),
        ("columns/win_rate/config/meta/additivity", "additive", "win_rate: a ratio or a mean does not add up"),
        ("columns/win_rate/config/meta/denominator", None, "win_rate: no denominator"),
        ("columns/win_rate/config/meta/formla", "a / b", "win_rate: unknown word formla"),
        ("columns/win_rate/config/meta/semantic_layer", "yes", "win_rate: semantic_layer says neither"),
    ],
)
def test_the_contract_catches_what_it_names(where, value, told):
    found = breaches(changed(where, value))
    assert len(found) == (told is not None) and all(line.startswith(told) for line in found), found


def test_a_metric_that_cannot_be_asked_and_does_not_say_why_is_missed():
    asked = {"lagging_indicators.deals.win_rate": ["win_rate"]}
    assert unexplained(GOOD, {}) == ["win_rate"]
    assert unexplained(changed("columns/win_rate/config/meta/semantic_layer", "no: it is not"), asked) == ["win_rate"]
