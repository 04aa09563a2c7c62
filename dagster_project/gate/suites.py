"""What must hold, as `expectations/*.yml` say it: read, and refused in one line where it cannot be run as written.

Not here: judging it (`judging.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dagster_project import quoting
from dagster_project.settings import PROJECT_ROOT, UserError, nearest

EXPECTATIONS = PROJECT_ROOT / "expectations"
RAW, FORECAST_INPUTS = "raw", "forecast_inputs"
INPUTS = "forecast.inputs"
VERDICT = "verdict"  # check_name of the row that sums a gate up
SEVERITIES = ("error", "quarantine", "warning")

SUITE_KEYS = ("table", "about", "key", "show", "owner", "rules")
RULE_KEYS = ("name", "rule", "where", "sql", "severity", "reason", "owner")
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Rule:
    """One check. `kind` is the Great Expectations rule; an unexpected-rows rule carries its select in `sql`."""

    name: str
    severity: str
    reason: str
    owner: str
    kind: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    sql: str | None = None


@dataclass(frozen=True)
class Suite:
    """One file of `expectations/`: what must hold for one table.

    key: the columns that identify a failing row. show: what else of it is stored, beside what the failed rule names.
    """

    name: str
    file: str
    table: str
    key: tuple[str, ...]
    show: tuple[str, ...]
    rules: tuple[Rule, ...]

    @property
    def gate(self) -> str:
        return FORECAST_INPUTS if self.table == INPUTS else RAW

    @property
    def relation(self) -> str:
        """What the rules read: of a raw table only the rows that wait for judgement."""
        return self.table if self.gate == FORECAST_INPUTS else f"gate.{self.table.replace('.', '__')}"


def _values(kwargs: dict) -> str:
    return ", ".join(map(quoting.value, kwargs["value_set"])) or "null"


def _outside(subject: str, kwargs: dict) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    bounds = [
        f"{subject} {'<=' if kwargs.get('strict_min') else '<'} {quoting.value(low)}" if low is not None else None,
        f"{subject} {'>=' if kwargs.get('strict_max') else '>'} {quoting.value(high)}" if high is not None else None,
    ]
    return " or ".join(filter(None, bounds)) or "false"


def _repeated(columns: Sequence[str]) -> str:
    some = " or ".join(f"{quoting.name(column)} is not null" for column in columns)
    return f"({some}) qualify count(*) over (partition by {', '.join(map(quoting.name, columns))}) > 1"


# The rules about rows, each with the rows that break it. Great Expectations judges; these list what it found, because
# on DuckDB its own listing is cut to 200 rows, leaves values out of its queries, and cross joins for compound keys.
BROKEN_BY: dict[str, Callable[[dict], str]] = {
    "expect_column_values_to_not_be_null": lambda k: f"{quoting.name(k['column'])} is null",
    "expect_column_values_to_be_null": lambda k: f"{quoting.name(k['column'])} is not null",
    "expect_column_values_to_be_in_set": lambda k: f"{quoting.name(k['column'])} not in ({_values(k)})",
    "expect_column_values_to_not_be_in_set": lambda k: f"{quoting.name(k['column'])} in ({_values(k)})",
    "expect_column_values_to_be_between": lambda k: _outside(quoting.name(k["column"]), k),
    "expect_column_value_lengths_to_be_between": lambda k: _outside(f"length({quoting.name(k['column'])})", k),
    "expect_column_values_to_be_unique": lambda k: _repeated([k["column"]]),
    "expect_compound_columns_to_be_unique": lambda k: _repeated(k["column_list"]),
    "expect_column_pair_values_to_be_equal": lambda k: (
        f"{quoting.name(k['column_A'])} is distinct from {quoting.name(k['column_B'])}"
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": lambda k: (
        f"not {quoting.name(k['column_A'])} {'>=' if k.get('or_equal') else '>'} {quoting.name(k['column_B'])}"
    ),
}
# The rules about the set: a count, a total, the columns.
ABOUT_THE_SET = (
    "expect_column_distinct_values_to_be_in_set",
    "expect_column_distinct_values_to_contain_set",
    "expect_column_max_to_be_between",
    "expect_column_mean_to_be_between",
    "expect_column_median_to_be_between",
    "expect_column_min_to_be_between",
    "expect_column_proportion_of_non_null_values_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_stdev_to_be_between",
    "expect_column_sum_to_be_between",
    "expect_column_to_exist",
    "expect_column_unique_value_count_to_be_between",
    "expect_table_column_count_to_be_between",
    "expect_table_columns_to_match_set",
    "expect_table_row_count_to_be_between",
    "expect_table_row_count_to_equal",
)
UNEXPECTED_ROWS = "unexpected_rows_expectation"
RULES = (*BROKEN_BY, *ABOUT_THE_SET, UNEXPECTED_ROWS)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Refuses a key that stands twice in one place, which YAML would settle in silence."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_suites(folder: Path = EXPECTATIONS) -> list[Suite]:
    """Every suite of a folder, by file name. Raises UserError naming file, rule and nearest match."""
    files = sorted(folder.glob("*.yml")) if folder.is_dir() else []
    if not files:
        raise UserError(f"no expectations: {folder} holds no .yml file")
    suites = [_suite(file) for file in files]
    for suite in suites:
        twin = next((other for other in suites if other.table == suite.table and other is not suite), None)
        if twin:
            raise UserError(f"{suite.file} and {twin.file} both guard {suite.table}; keep its rules in one file")
    return suites


def _suite(file: Path) -> Suite:
    where = f"{file.parent.name}/{file.name}"
    try:
        document = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{where}{line}: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{where}: not readable as YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(document, dict):
        raise UserError(f"{where}: expected keys {', '.join(SUITE_KEYS)}")
    _only(document, SUITE_KEYS, where)
    table = document.get("table")
    if not isinstance(table, str) or (table != INPUTS and not re.fullmatch(r"raw_\w+\.\w+", table)):
        raise UserError(f"{where}: `table` must be a raw table (raw_<source>.<table>) or {INPUTS}, not {table!r}")
    key = document.get("key")
    if not isinstance(key, list) or not key or not all(isinstance(column, str) for column in key):
        raise UserError(f"{where}: `key` must list the columns that identify a row of {table}")
    show = document.get("show", [])
    if not isinstance(show, list) or not all(isinstance(column, str) for column in show):
        raise UserError(f"{where}: `show` must list columns of {table}")
    rules = document.get("rules")
    if not isinstance(rules, list) or not rules:
        raise UserError(f"{where}: `rules` must be a list with at least one rule")
    built = tuple(
        _rule(rule, f"{where}: rule {number}", document.get("owner"), table) for number, rule in enumerate(rules, 1)
    )
    names = [rule.name for rule in built]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{where}: two rules are named {name!r}; a name identifies one rule")
    return Suite(file.stem, where, table, tuple(key), tuple(show), built)


def _only(given: dict, known: Iterable[str], where: str) -> None:
    for key in given:
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}{nearest(str(key), known)}; known: {', '.join(known)}")


def _rule(given: Any, where: str, default_owner: str | None, table: str) -> Rule:
    if not isinstance(given, dict):
        raise UserError(f"{where}: expected keys such as name, rule, severity, reason; got {given!r}")
    given = {"owner": default_owner, **given}
    name = given.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name) or name == VERDICT:
        raise UserError(f"{where}: `name` must be lower-case words joined by _ (not {VERDICT!r}), not {name!r}")
    where = f"{where} ({name})"
    for key in ("reason", "owner"):
        if not isinstance(given.get(key), str) or not given[key].strip():
            raise UserError(
                f"{where}: `{key}` is missing; say {'why it matters' if key == 'reason' else 'who mends it'}"
            )
    severity = given.get("severity")
    if severity not in SEVERITIES:
        hint = nearest(str(severity), SEVERITIES)
        raise UserError(f"{where}: severity {severity!r} is unknown{hint}; known: {', '.join(SEVERITIES)}")

    forms = [form for form in ("rule", "where", "sql") if form in given]
    if len(forms) != 1:
        raise UserError(f"{where}: give exactly one of rule, where, sql; got {' and '.join(forms) or 'none'}")
    if not isinstance(given[forms[0]], str):
        raise UserError(f"{where}: `{forms[0]}` must be text, not {given[forms[0]]!r}")
    kind, sql = given.get("rule", UNEXPECTED_ROWS), given.get("sql")
    kwargs = {key: value for key, value in given.items() if key not in RULE_KEYS}
    if kind not in RULES:
        if kind.startswith("expect_") and ("regex" in kind or "like_pattern" in kind):
            raise UserError(f"{where}: {kind} does not run on DuckDB; write `where: not regexp_matches(column, '…')`")
        raise UserError(
            f"{where}: unknown rule {kind!r}{nearest(kind, RULES)}; anything else can be a `where:` or `sql:`"
        )
    if kind == UNEXPECTED_ROWS:
        if "where" in given:
            sql = f"select * from {{batch}} where {given['where']}"
        elif "rule" in given:
            sql = kwargs.pop("unexpected_rows_query", None)
        _only(kwargs, RULE_KEYS, where)
        if not isinstance(sql, str):
            raise UserError(f"{where}: {UNEXPECTED_ROWS} needs unexpected_rows_query")
    if "row_condition" in kwargs:
        raise UserError(f"{where}: row_condition is not supported; write the rule as `where:`")
    if severity == "quarantine" and table != INPUTS:
        raise UserError(
            f"{where}: quarantine holds a deal out of the forecast, so it belongs to {INPUTS}; use warning here"
        )
    if severity == "quarantine" and kind in ABOUT_THE_SET:
        raise UserError(f"{where}: {kind} is about the set and names no row to quarantine; use error or warning")
    reason = " ".join(given["reason"].split())
    return Rule(name, severity, reason, given["owner"].strip(), kind, kwargs, sql.strip().rstrip(";") if sql else None)


def broken_by(rule: Rule, relation: str) -> str:
    """The select of a relation's rows that break a rule."""
    query = rule.sql or f"select * from {{batch}} where {BROKEN_BY[rule.kind](rule.kwargs)}"
    return query.replace("{batch}", relation)
