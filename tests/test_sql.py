"""House rules of the dbt project: which layer reads which, portable SQL, no published column without a word."""

from __future__ import annotations

import re

import pytest
import yaml

from dagster_project.settings import PROJECT_ROOT

MODELS = sorted((PROJECT_ROOT / "dbt" / "models").rglob("*.sql"))
SEEDS = {path.stem for path in (PROJECT_ROOT / "seeds").glob("*.csv")}
LAYER = {path.stem: path.relative_to(PROJECT_ROOT / "dbt" / "models").parts[0] for path in MODELS}
PUBLISHED = ("core", "leading_indicators", "lagging_indicators", "hygiene", "forecast")
# A hygiene rule is one file that says in its first line what it finds; `exceptions` publishes it.
RULES = [path for path in MODELS if path.parent.name == "rules"]
TABLES = [path for path in MODELS if path not in RULES]

READS = {
    "staging": set(),
    "intermediate": {"staging", "intermediate", "seeds"},
    "core": {"intermediate", "core"},
    "leading_indicators": {"intermediate", "core", "leading_indicators"},
    # forecast: what was forecast, against what came
    "lagging_indicators": {"intermediate", "core", "lagging_indicators", "forecast"},
    "hygiene": {"seeds", "intermediate", "core", "hygiene"},
    "forecast": {"seeds", "intermediate", "core", "forecast"},
}

# What only some engines know, and how to say it instead.
NOT_PORTABLE = {
    r"\bqualify\b": "a subquery with row_number",
    r"\basof\b": "an interval join",
    r"\bgroup by all\b|\border by all\b": "the columns",
    r"(?<!:)//": "floor(a / b)",
    r"\bstrftime\b": "a date macro",
    r"\barg_max\b|\barg_min\b|\bmax_by\b": "row_number",
    r"\bdayofweek\b|\bisodow\b": "iso_weekday()",
    r"\btry_cast\b": "safe_cast()",
    r"\bepoch\b": "elapsed_days()",
    r"\bgenerate_series\b|\brange\(": "date_rows() or number_rows()",
    r"\bexclude\b|\breplace \(": "the columns",
    r"\bcurrent_date\b|\bnow\(\)|\bcurrent_timestamp\b": "int_as_of",
    r"::": "cast(… as …)",
}


def _code(path) -> str:
    """The model without comments and string literals."""
    text = re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.S)
    return re.sub(r"'[^'\n]*'", "''", re.sub(r"--[^\n]*", "", text)).lower()


def _references(path) -> set[str]:
    return set(re.findall(r"ref\('([a-z_0-9]+)'\)", path.read_text()))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_layer_reads_only_the_one_before_it(path):
    layer = LAYER[path.stem]
    read = {"seeds" if name in SEEDS else LAYER[name] for name in _references(path)}
    assert read <= READS[layer], f"{layer} reads {sorted(read - READS[layer])}"
    if layer not in ("staging", "forecast"):
        assert "source(" not in path.read_text()


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_models_are_portable_sql(path):
    code = _code(path)
    found = {pattern: better for pattern, better in NOT_PORTABLE.items() if re.search(pattern, code)}
    assert not found


def test_the_portability_rules_catch_what_they_name(tmp_path):
    bad = tmp_path / "bad.sql"
    bad.write_text("select a // b, epoch(c), d::int from t qualify row_number() over () = 1 -- group by all\n")
    caught = {better for pattern, better in NOT_PORTABLE.items() if re.search(pattern, _code(bad))}
    assert caught == {"floor(a / b)", "elapsed_days()", "cast(… as …)", "a subquery with row_number"}


def _documented(path) -> dict:
    [model] = [m for m in yaml.safe_load(path.with_suffix(".yml").read_text())["models"] if m["name"] == path.stem]
    return model


def _is_published(path) -> bool:
    return LAYER[path.stem] in PUBLISHED and not path.stem.startswith("int_")


@pytest.mark.parametrize("path", [p for p in TABLES if _is_published(p)], ids=lambda path: path.stem)
def test_published_tables_promise_and_explain_every_column(path):
    model = _documented(path)
    assert model["config"]["contract"]["enforced"]
    assert model["description"].startswith(("One row per", "One row"))
    for column in model["columns"]:
        assert column["description"].strip() and column["data_type"], column["name"]
        assert re.fullmatch(r"[a-z][a-z0-9_]*", column["name"])


@pytest.mark.parametrize("path", [p for p in TABLES if LAYER[p.stem] != "staging"], ids=lambda path: path.stem)
def test_every_model_says_its_grain(path):
    assert _documented(path)["description"].startswith("One row")


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_hygiene_rule_says_what_it_finds(path):
    assert path.read_text().startswith("-- ") or "sentence" in path.read_text()
