"""The graph as data: every asset, check, job, schedule and sensor stands in graph.txt, where a change is reviewed."""

from __future__ import annotations

import os
import tomllib
from difflib import unified_diff
from itertools import groupby
from pathlib import Path

import pytest
import yaml

from dagster_project import gate
from dagster_project.settings import PROJECT_ROOT
from dagster_project.warehouse import ALL_TABLES

SNAPSHOT = Path(__file__).with_name("graph.txt")
JOBS = ("daily_refresh", "monthly_people_review", "weekly_forecast_lock")


def waits_for(job) -> dict[str, set[str]]:
    """Step to the steps it waits for, blocking checks among them."""
    return {
        (node.alias or node.name): {parent.node for way in ways.values() for parent in way.get_node_dependencies()}
        for node, ways in job.dependencies.items()
    }


def told(defs, graph) -> list[str]:
    lines = []
    for group, keys in groupby(sorted(graph.get_all_asset_keys(), key=lambda key: key.path), lambda key: key.path[0]):
        lines.append(f"\n{group}")
        for key in keys:
            node = graph.get(key)
            about = [node.group_name, *node.owners, "+".join(sorted(node.kinds)), *sorted(node.pools or ())]
            lines.append(f"  {'/'.join(key.path)}  ({', '.join(about)})")
            if node.parent_keys:
                lines.append(f"    from {', '.join(sorted('/'.join(parent.path) for parent in node.parent_keys))}")
            for check in sorted(node.check_keys, key=lambda each: each.name):
                lines.append(f"    {'must' if graph.get(check).blocking else 'note'} {check.name}")
    for name in (*JOBS, "backtest"):
        lines.append(f"\njob {name}")
        for step, parents in sorted(waits_for(defs.resolve_job_def(name)).items()):
            lines.append(f"  {step} after {', '.join(sorted(parents)) or 'nothing'}")
    lines.append("")
    for schedule in sorted(defs.schedules, key=lambda each: each.name):
        when = f"{schedule.cron_schedule} {schedule.execution_timezone}"
        lines.append(f"schedule {schedule.name}: {when}, {schedule.job_name}, {schedule.default_status.value}")
    for sensor in defs.sensors:
        lines.append(f"sensor {sensor.name}: {sensor.job_name}, {sensor.default_status.value}")
    return lines


def test_a_code_server_loads_all_of_it(defs):
    defs.get_repository_def().load_all_definitions()


def test_graph_is_as_reviewed(defs, graph):
    now = "\n".join(told(defs, graph)).strip().splitlines()
    if os.environ.get("UPDATE_GRAPH"):
        SNAPSHOT.write_text("\n".join(now) + "\n")
    reviewed = SNAPSHOT.read_text().splitlines() if SNAPSHOT.exists() else []
    difference = list(unified_diff(reviewed, now, "graph.txt", "definitions", lineterm="", n=0))
    meant = "Meant? UPDATE_GRAPH=1 make test T=tests/graph/test_definitions.py, and review graph.txt"
    assert not difference, "\n".join([*difference, "", meant])


def test_every_asset_says_what_it_is_and_who_answers_for_it(graph):
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, f"{key}: no description"
        assert node.owners, f"{key}: no owner"
        assert node.kinds, f"{key}: no kind"
        assert node.group_name == key.path[0], f"{key}: grouped as {node.group_name}"


def test_every_raw_table_is_an_asset(graph):
    assets = {tuple(key.path) for key in graph.get_all_asset_keys()}
    assert {(table.schema, table.name) for table in ALL_TABLES} <= assets


def test_everything_that_opens_the_file_is_in_the_pool(graph):
    for node in graph.asset_nodes:
        assert not node.is_executable or node.pools == {"warehouse"}, node.key
    for checks in graph.assets_defs:
        assert not checks.is_executable or checks.op.pool == "warehouse", checks


def test_raw_and_published_assets_have_a_freshness_policy(graph):
    for node in graph.asset_nodes:
        is_watched = node.group_name.startswith("raw_") or node.group_name in ("core", "hygiene", "published")
        is_table = node.is_executable and node.key.path[-1] not in ("loads", "rejected_rows")
        assert not (is_watched and is_table) or node.freshness_policy, node.key


def test_every_expectation_is_a_check_and_every_error_blocks(graph):
    for suite in gate.load_suites():
        for rule in suite.rules:
            [check] = [
                graph.get(key)
                for key in graph.asset_check_keys
                if key.name == rule.name and ".".join(key.asset_key.path) == suite.table
            ]
            assert check.blocking == (rule.severity == "error"), f"{suite.table} {rule.name}"
            assert check.description == rule.reason


@pytest.mark.parametrize("name", JOBS)
def test_job_runs_the_gates_before_what_rests_on_them(defs, name):
    after = waits_for(defs.resolve_job_def(name))
    assert after["raw_gate"] == {"ingest"}
    assert "raw_gate" in after["transform"]
    assert after["forecast_gate"] == {"transform"}
    assert "forecast_gate" in after["freeze"]
    assert {"forecast_gate", "freeze"} <= after["forecast"]
    assert {"forecast", "transform", "forecast_gate"} <= after["published__marts"]


def test_the_steps_of_the_forecast_hold_all_that_rests_on_the_inputs_and_nothing_else(graph):
    from dagster import AssetKey, AssetSelection

    inputs = AssetSelection.assets(AssetKey(["forecast", "inputs"]))
    behind = inputs.downstream(include_self=False).resolve(graph) - {AssetKey(["published", "marts"])}
    named = ("freeze", "score", "look_back", "forecast")
    steps = [each for each in graph.assets_defs if each.is_executable and each.op.name in named]
    assert len(steps) == len(named)
    assert set().union(*(step.keys for step in steps)) == behind


def test_only_the_backtest_looks_back(defs):
    """`make run` scores new locks; forecasting every past one is a job of its own, which publishes, too."""
    for name in JOBS:
        steps = waits_for(defs.resolve_job_def(name))
        assert "score" in steps and "look_back" not in steps
    steps = waits_for(defs.resolve_job_def("backtest"))
    assert steps.keys() == {"look_back", "forecast", "published__marts"}
    assert "look_back" in steps["forecast"] and "forecast" in steps["published__marts"]


def test_publication_waits_for_every_published_model(graph):
    from dagster import AssetKey

    from dagster_project import publishing

    models = {node.key for node in graph.asset_nodes if node.group_name in publishing.SCHEMAS and node.is_executable}
    assert graph.get(AssetKey(["published", "marts"])).parent_keys == models


def test_every_dbt_test_is_a_check(graph):
    from dagster_project.defs.transform import MANIFEST

    tests = {node["name"] for node in MANIFEST["nodes"].values() if node["resource_type"] == "test"}
    assert tests <= {key.name for key in graph.asset_check_keys}


def test_workspace_and_dg_load_the_same_module():
    [entry] = yaml.safe_load((PROJECT_ROOT / "workspace.yaml").read_text())["load_from"]
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert entry["python_module"]["module_name"] == project["code_location_target_module"]
    assert entry["python_module"]["location_name"] == project["code_location_name"]


def test_definitions_is_a_table_of_contents():
    lines = (PROJECT_ROOT / "dagster_project" / "definitions.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 10
