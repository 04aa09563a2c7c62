"""The metric contract, read off dbt's manifest, and the page that tells it (`docs/glossary.md`).

The words a contract may use stand here. That every public column keeps it is tested (`tests/test_contract.py`); what a
metric's contract says stands in the yml beside its model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dagster_project.publishing import SCHEMAS
from dagster_project.settings import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "glossary.md"

UNITS = {
    "base_currency": "money in the company's base currency (a setting)",
    "deal_currency": "money in the currency of the row, `currency_code`",
    "base_currency_per_day": "money in base currency a day",
    "deals": "deals",
    "reps": "reps, or spells of employment as one",
    "people": "people",
    "activities": "activities, each once however many systems logged it",
    "accounts": "accounts",
    "leads": "leads",
    "touches": "two-way activities",
    "rows": "records",
    "count": "how often",
    "days": "days",
    "months": "tenure months",
    "minutes": "minutes",
    "rate": "a share, 0 to 1",
    "ratio": "so many times; 1 is as much",
}
ADDITIVITY = {
    "additive": ("yes", "it may be summed over everything: units, periods, kinds"),
    "semi_additive": ("not over time", "it may be summed over everything but time; a longer period takes its last day"),
    "non_additive": ("no", "it may not be summed; ratios are computed again from their parts"),
}
# What a ratio or a mean is taken over must be named.
UNITS_OVER_SOMETHING = {"rate", "ratio", "base_currency_per_day"}
NUMERIC = ("integer", "bigint", "decimal", "double", "float", "hugeint", "smallint")

TITLES = {
    "leading_indicators": "Leading indicators",
    "lagging_indicators": "Lagging indicators",
    "hygiene": "Hygiene",
    "forecast": "Forecast",
    "team": "Team",
    "core": "Core: the rows all of it is made from",
}
KEYS = {
    "level": "`company`, `segment`, `team` or `rep`",
    "level_id": "which of them; `all` for the company, `unassigned` where nobody owns",
    "week_start_date": "first day of the week",
    "week_end_date": "last day of the week",
    "month_start_date": "first day of the fiscal month",
    "fiscal_quarter": "such as `FY2025-Q2`; a week belongs to the quarter that holds its last day",
    "quarter_start_date": "its first day",
    "quarter_end_date": "its last day",
    "target_fiscal_quarter": "quarter of the close date; `unscheduled` where there is none",
    "target_quarter_start_date": "its first day",
    "rep_id": "a person, one across systems; `unassigned` where nobody",
    "opportunity_id": "a deal, one across systems",
    "is_complete": "the period had ended by `as_of`",
    "is_small_sample": "fewer than the minimum n: read it as an anecdote",
}

_WHAT_IT_IS = """\
What every published number means. `make glossary` writes this page from the yml beside each model: change it there."""
_HOW_TO_READ_IT = """\
Every table is as of one instant, and a past period is told as it was known then. Ratios are null, never 0, where there
is nothing to divide by. `_date` columns are days in the business time zone, `_at` columns are UTC. Where an estimate
has a `_low` and a `_high`, they are the ends of its 95 % interval. *Ask as* names the metric of the semantic layer that
gives the same number ([how to ask](connect-bi.md#ask-by-metric))."""


def public_models(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The published models, in the order of the schemas and by name."""
    order = list(TITLES)
    models = [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
        and node["schema"] in SCHEMAS
        and node["config"]["materialized"] != "ephemeral"
    ]
    return sorted(models, key=lambda model: (order.index(model["schema"]), model["name"]))


def is_metric(column: Mapping[str, Any]) -> bool:
    """Whether a column carries a metric's contract. Numbers without one must be keys; the test sees to that."""
    return "formula" in column["config"]["meta"]


def is_numeric(column: Mapping[str, Any]) -> bool:
    return (column["data_type"] or "").lower().startswith(NUMERIC)


def asked_as(manifest: Mapping[str, Any]) -> dict[str, list[str]]:
    """`schema.table.column` to the semantic layer's metrics that equal it."""
    found: dict[str, list[str]] = {}
    for metric in manifest["metrics"].values():
        for column in metric["config"]["meta"].get("equals", ()):
            found.setdefault(column, []).append(metric["name"])
    return {column: sorted(names) for column, names in found.items()}


def write(manifest: Mapping[str, Any], page: Path = PAGE) -> Path:
    page.write_text(render(manifest))
    return page


def render(manifest: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    models, metrics = public_models(manifest), asked_as(manifest)
    parts = [_opening(models)]
    for schema, title in TITLES.items():
        inside = [model for model in models if model["schema"] == schema]
        if inside:
            parts += [f"## {title}", *(_table(model, metrics) for model in inside)]
    return "\n\n".join(parts) + "\n"


def _opening(models: list[dict[str, Any]]) -> str:
    contents = [
        f"* **{title}**: " + " · ".join(f"[{m['name']}](#{m['name']})" for m in models if m["schema"] == schema)
        for schema, title in TITLES.items()
        if any(model["schema"] == schema for model in models)
    ]
    used = {c["config"]["meta"]["unit"] for m in models for c in m["columns"].values() if is_metric(c)}
    return "\n".join(
        [
            "# Glossary",
            "",
            _WHAT_IT_IS,
            "",
            *contents,
            "",
            "## How to read it",
            "",
            _HOW_TO_READ_IT,
            "",
            *_rows(("adds up", "means"), ADDITIVITY.values()),
            "",
            *_rows(("unit", "means"), ((_words(u), UNITS[u]) for u in UNITS if u in used and UNITS[u] != u)),
            "",
            "These keys mean the same in every table, and are only named there:",
            "",
            *_rows(("key", "means"), ((f"`{key}`", meaning) for key, meaning in KEYS.items())),
        ]
    )


def _table(model: dict[str, Any], metrics: Mapping[str, list[str]]) -> str:
    meta, columns = model["config"]["meta"], list(model["columns"].values())
    lines = [f"### {model['name']}", "", " ".join(model["description"].split()), ""]
    lines += _rows(
        (f"`{model['schema']}.{model['name']}`", ""),
        (
            ("one row per", ", ".join(f"`{column}`" for column in meta["grain"])),
            ("basis date", meta["basis_date"]),
            ("left out", meta["exclusions"]),
            ("minimum n", meta["minimum_n"]),
        ),
    )
    others = [column for column in columns if not is_metric(column)]
    named = [f"`{column['name']}`" for column in others if column["name"] in KEYS]
    told = [column for column in others if column["name"] not in KEYS]
    if named:
        lines += ["", "Keys: " + ", ".join(named) + "."]
    if told:
        summary = f"{len(told)} {'more keys' if named else 'keys'} and attributes"
        lines += ["", f"<details><summary>{summary}</summary>", ""]
        lines += _rows(("column", "what it says"), ((f"`{c['name']}`", c["description"]) for c in told))
        lines += ["", "</details>"]
    metric_columns = (column for column in columns if is_metric(column) and column["name"] not in _bounds(model))
    rows = [_metric(column, model, metrics) for column in metric_columns]
    if rows:
        headings = [name for name in rows[0] if any(row[name] for row in rows)]
        for row in rows:
            has_interval = f"{row['column']}_low" in _bounds(model)
            row["column"] = f"`{row['column']}`" + (" `…_low` `…_high`" if has_interval else "")
        lines += ["", *_rows(headings, ([row[name] for name in headings] for row in rows))]
    lines += _only_here(columns)
    return "\n".join(lines)


def _only_here(columns: list[dict[str, Any]]) -> list[str]:
    """Why some columns cannot be asked, each reason once."""
    reasons: dict[str, list[str]] = {}
    for column in columns:
        if reason := column["config"]["meta"].get("semantic_layer"):
            reasons.setdefault(reason.removeprefix("no: "), []).append(f"`{column['name']}`")
    told = [f"* {', '.join(names)}: {reason}." for reason, names in reasons.items()]
    return ["", "Only here, not in the semantic layer:", "", *told] if told else []


def _bounds(model: dict[str, Any]) -> set[str]:
    """The ends of intervals, which are told with what they bound."""
    names = set(model["columns"])
    pairs = ({f"{name}_low", f"{name}_high"} for name in names)
    return {bound for pair in pairs if pair <= names for bound in pair}


def _metric(column: dict[str, Any], model: dict[str, Any], metrics: Mapping[str, list[str]]) -> dict[str, str]:
    meta = column["config"]["meta"]
    names = metrics.get(f"{model['schema']}.{model['name']}.{column['name']}", [])
    return {
        "column": column["name"],
        "what it says": column["description"],
        "formula": meta["formula"],
        "denominator": meta.get("denominator", ""),
        "unit": _words(meta["unit"]),
        "adds up": ADDITIVITY[meta["additivity"]][0],
        "ask as": ", ".join(f"`{name}`" for name in names),
    }


def _words(name: str) -> str:
    return name.replace("_", " ")


def _rows(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    headings = list(headings)
    cells = [headings, ["---"] * len(headings), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in cells]
