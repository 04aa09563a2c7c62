"""Arrows between modules point one way: `defs` and the command line stand on everything, sources on nothing of ours."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from dagster_project.settings import PROJECT_ROOT

PACKAGE = PROJECT_ROOT / "dagster_project"
MODULES = sorted(PACKAGE.rglob("*.py"))
# What stands above `defs`: it loads the graph or starts it.
ABOVE_DEFS = {"cli.py", "definitions.py", "run.py", "__main__.py"}


def imports(text: str, module: str) -> set[str]:
    """Dotted names a module imports, relative ones resolved; `from a import b` counts as `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: -node.level] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            found |= {origin} | {f"{origin}.{alias.name}" for alias in node.names}
    return found


def imported_by(path: Path) -> set[str]:
    parts = path.relative_to(PROJECT_ROOT).with_suffix("").parts
    return imports(path.read_text(), ".".join(parts))


def reaches(names: set[str], *packages: str) -> set[str]:
    return {name for name in names if any(name == package or name.startswith(f"{package}.") for package in packages)}


def test_the_reader_of_imports_sees_every_form():
    text = """
import dagster as dg
from dagster_project import defs
from dagster_project.defs import ingest
from .. import defs as relative
from ..defs.ingest import ingest as deep
def late():
    import dagster_project.defs.publish
"""
    found = imports(text, "dagster_project.sources.module")
    assert {"dagster", "dagster_project.defs", "dagster_project.defs.ingest", "dagster_project.defs.publish"} <= found
    assert reaches(imports("from ..defs import x", "dagster_project.sources.module"), "dagster_project.defs")
    assert not reaches({"dagster_project.definitions", "dagstermill"}, "dagster_project.defs", "dagster")


@pytest.mark.parametrize("path", [p for p in MODULES if "sources" in p.parts], ids=lambda p: p.name)
def test_sources_know_nothing_of_dagster_or_of_what_runs_them(path):
    above = ("dagster", "dagster_dbt", "dagster_project.defs", "dagster_project.warehouse", "dagster_project.forecast")
    assert not reaches(imported_by(path), *above)


@pytest.mark.parametrize("path", [p for p in MODULES if "defs" not in p.parts], ids=lambda p: p.name)
def test_nothing_but_what_starts_the_graph_imports_defs(path):
    if path.parent == PACKAGE and path.name in ABOVE_DEFS:
        return
    assert not reaches(imported_by(path), "dagster_project.defs", "dagster_project.definitions")


def test_the_forecast_is_plain_python():
    for path in (PACKAGE / "forecast").rglob("*.py"):
        assert not reaches(imported_by(path), "dagster", "dagster_dbt", "dagster_project.defs"), path


def test_settings_stand_on_nothing_of_ours():
    assert not reaches(imported_by(PACKAGE / "settings.py"), "dagster_project")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_opens_by_saying_what_belongs_in_it(path):
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"
