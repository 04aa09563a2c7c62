"""The gate: whether what arrived, and what the forecast would rest on, may be used.

Plain Python over `expectations/*.yml`: Great Expectations judges, the verdicts and every failing row are stored in
`forecast.gate` and `forecast.gate_failing_rows`. What must hold is written in `expectations/`, what a failed check
stops is wired in `defs/`; neither belongs here.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from dagster_project import warehouse
from dagster_project.settings import PROJECT_ROOT, UserError, nearest
from dagster_project.sources import landing

EXPECTATIONS = PROJECT_ROOT / "expectations"
RAW, FORECAST_INPUTS = "raw", "forecast_inputs"
INPUTS = "forecast.inputs"
VERDICT = "verdict"  # check_name of the row that sums a gate up
SEVERITIES = ("error", "quarantine", "warning")

SUITE_KEYS = ("table", "about", "key", "show", "owner", "rules")
RULE_KEYS = ("name", "rule", "where", "sql", "severity", "reason", "owner")
NAME = re.compile(r"[a-z][a-z0-9_]*")

FAILING_ROWS = pa.schema(
    [("row_key", pa.string()), ("row_text", pa.string()), ("amount_base", pa.decimal128(18, 2)),
     ("opportunity_id", pa.string()), ("lock_date", pa.date32())]
)  # fmt: skip


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


@dataclass(frozen=True)
class Verdict:
    """A judged rule. `failing` (columns FAILING_ROWS) holds every failing row; it is empty for a rule about the set.

    rows_failed_count: rows that fail (0 where the rule is about a figure of the set).
    failed_amount_base: their money in base currency, None where the table has none.
    """

    suite: str
    table: str
    check_name: str
    severity: str
    is_passed: bool
    rows_failed_count: int
    failed_amount_base: Decimal | None
    reason: str
    owner: str
    failing: pa.Table = field(repr=False)


@dataclass(frozen=True)
class Outcome:
    """A gate as it was recorded. Its rows and money are those held back: the whole set, or the quarantined rows."""

    gate: str
    is_passed: bool
    verdicts: tuple[Verdict, ...]
    held_back: str | None
    rows_held_count: int
    held_amount_base: Decimal | None

    @property
    def failed(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if not verdict.is_passed)


# --- reading expectations/


def _literal(value: Any) -> str:
    if isinstance(value, str | dt.date):
        return "'" + str(value).replace("'", "''") + "'"
    return str(value)


def _column(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _values(kwargs: dict) -> str:
    return ", ".join(map(_literal, kwargs["value_set"])) or "null"


def _outside(subject: str, kwargs: dict) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    bounds = [
        f"{subject} {'<=' if kwargs.get('strict_min') else '<'} {_literal(low)}" if low is not None else None,
        f"{subject} {'>=' if kwargs.get('strict_max') else '>'} {_literal(high)}" if high is not None else None,
    ]
    return " or ".join(filter(None, bounds)) or "false"


def _repeated(columns: Sequence[str]) -> str:
    some = " or ".join(f"{_column(column)} is not null" for column in columns)
    return f"({some}) qualify count(*) over (partition by {', '.join(map(_column, columns))}) > 1"


# The rules about rows, each with the rows that break it. Great Expectations judges; these list what it found, because
# on DuckDB its own listing is cut to 200 rows, leaves values out of its queries, and cross joins for compound keys.
BROKEN_BY: dict[str, Callable[[dict], str]] = {
    "expect_column_values_to_not_be_null": lambda k: f"{_column(k['column'])} is null",
    "expect_column_values_to_be_null": lambda k: f"{_column(k['column'])} is not null",
    "expect_column_values_to_be_in_set": lambda k: f"{_column(k['column'])} not in ({_values(k)})",
    "expect_column_values_to_not_be_in_set": lambda k: f"{_column(k['column'])} in ({_values(k)})",
    "expect_column_values_to_be_between": lambda k: _outside(_column(k["column"]), k),
    "expect_column_value_lengths_to_be_between": lambda k: _outside(f"length({_column(k['column'])})", k),
    "expect_column_values_to_be_unique": lambda k: _repeated([k["column"]]),
    "expect_compound_columns_to_be_unique": lambda k: _repeated(k["column_list"]),
    "expect_column_pair_values_to_be_equal": lambda k: (
        f"{_column(k['column_A'])} is distinct from {_column(k['column_B'])}"
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": lambda k: (
        f"not {_column(k['column_A'])} {'>=' if k.get('or_equal') else '>'} {_column(k['column_B'])}"
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


# --- judging


def run_suites(suites: Sequence[Suite], path: Path) -> list[Verdict]:
    """Judge suites against the warehouse file; nobody may hold it open meanwhile, and nothing is left open after.

    Raises UserError where a rule cannot be run as written (a column that is not there, SQL that does not parse).
    """
    if not suites:
        return []
    with warehouse.connect(path, read_only=True) as connection:
        for suite in suites:
            _check_columns(connection, suite)
    found = _judged(suites, path)
    with warehouse.connect(path, read_only=True) as connection:
        return [_verdict(connection, suite, rule, is_passed) for suite, rule, is_passed in found]


def _check_columns(connection: duckdb.DuckDBPyConnection, suite: Suite) -> None:
    try:
        known = [column for column, *_ in connection.execute(f"describe {suite.relation}").fetchall()]
    except duckdb.CatalogException:
        raise UserError(f"{suite.file}: the warehouse has no table {suite.table}") from None
    lower = {column.lower() for column in known}
    named = [(place, column) for place, columns in (("key", suite.key), ("show", suite.show)) for column in columns]
    for rule in suite.rules:
        columns = [rule.kwargs.get(argument) for argument in ("column", "column_A", "column_B")]
        if rule.kind != "expect_column_to_exist":
            named += [(rule.name, column) for column in (*columns, *rule.kwargs.get("column_list", ())) if column]
    for place, column in named:
        if str(column).lower() not in lower:
            raise UserError(
                f"{suite.file}: {place}: {suite.table} has no column {column!r}{nearest(str(column), known)}"
            )


@contextlib.contextmanager
def _released() -> Iterator[None]:
    """Close every connection that Great Expectations opened: one stays in a pool of its own and locks the file."""
    import sqlalchemy

    opened = []

    def remember(connection, _record):
        opened.append(connection)
        connection.execute("set TimeZone = 'UTC'")

    sqlalchemy.event.listen(sqlalchemy.pool.Pool, "connect", remember)
    try:
        with warnings.catch_warnings():  # its own and its dependencies' old imports
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.pool.Pool, "connect", remember)
        for connection in opened:
            with contextlib.suppress(Exception):
                connection.close()


def _judged(suites: Sequence[Suite], path: Path) -> list[tuple[Suite, Rule, bool]]:
    """Whether each rule passed, in the order of the files."""
    severities = {"error": "critical", "quarantine": "warning", "warning": "info"}
    judged = []
    with _released():
        import great_expectations as gx  # 3 s: only where something is judged
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
        source = context.data_sources.add_sql(
            "warehouse",
            connection_string=f"duckdb:///{path}",
            # results are fetched after the connection went back to its pool: a rollback there would empty them
            kwargs={
                "isolation_level": "AUTOCOMMIT",
                "skip_autocommit_rollback": True,
                "connect_args": {"read_only": True},
            },
            assets=[
                {"name": suite.name, "type": "table", "schema_name": schema, "table_name": table}
                for suite in suites
                for schema, table in [suite.relation.split(".")]
            ],
        )
        for suite in suites:
            expectations = []
            for number, rule in enumerate(suite.rules):
                kwargs = rule.kwargs
                if rule.sql:  # Great Expectations wants its own {batch}; braces of the query are the analyst's
                    query = _full(suite, rule).replace("{", "{{").replace("}", "}}")
                    kwargs = {"unexpected_rows_query": "/* {batch} */ " + query}
                try:
                    expectations.append(
                        gx.ExpectationSuite(
                            name=rule.name,
                            expectations=[
                                {"type": rule.kind, "kwargs": kwargs, "severity": severities[rule.severity],
                                 "meta": {"number": number}}
                            ],
                        ).expectations[0]
                    )  # fmt: skip
                except (TypeError, ValueError) as error:  # a missing or unknown argument
                    raise UserError(f"{suite.file}: {rule.name}: {_first_line(error)}") from None
            asset = source.get_asset(suite.name)
            batch = asset.get_batch(asset.build_batch_request())
            expected = gx.ExpectationSuite(name=suite.name, expectations=expectations)
            result = batch.validate(expected, result_format="BOOLEAN_ONLY")
            answers = {answer.expectation_config.meta["number"]: answer for answer in result.results}
            for number, rule in enumerate(suite.rules):
                if failure := _failure(answers[number].exception_info):
                    raise UserError(f"{suite.file}: {rule.name} cannot be run: {failure}")
                judged.append((suite, rule, bool(answers[number].success)))
    return judged


def _first_line(error: object) -> str:
    """The telling line of an error: pydantic's second, everybody else's first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and "validation error" in lines[0]:
        return " ".join(lines[1:3])
    return lines[0] if lines else "no message"


def _failure(info: dict) -> str | None:
    """What went wrong while a rule ran, None where nothing did. Great Expectations files it by metric, or bare."""
    raised = info if "raised_exception" in info else next(iter(info.values()), {"raised_exception": False})
    if not raised["raised_exception"]:
        return None
    return re.sub(r"^\(_duckdb\.\w+\) ", "", _first_line(raised["exception_message"]))


def _full(suite: Suite, rule: Rule) -> str:
    """The select of the rows that break a rule, against the suite's relation."""
    query = rule.sql or f"select * from {{batch}} where {BROKEN_BY[rule.kind](rule.kwargs)}"
    return query.replace("{batch}", suite.relation)


def _verdict(connection, suite: Suite, rule: Rule, is_passed: bool) -> Verdict:
    failing = FAILING_ROWS.empty_table()
    if not is_passed and rule.kind not in ABOUT_THE_SET:
        failing = _failing_rows(connection, suite, rule)
    amount = pc.sum(failing["amount_base"]).as_py()
    return Verdict(
        suite.name, suite.table, rule.name, rule.severity, is_passed, len(failing), amount, rule.reason, rule.owner,
        failing,
    )  # fmt: skip


def _failing_rows(connection, suite: Suite, rule: Rule) -> pa.Table:
    """Every failing row: its key, and of its text only what the check is about, so that no person's data is copied."""
    query = _full(suite, rule)
    result = {column.lower(): column for column, *_ in connection.execute(f"describe {query}").fetchall()}
    table = {column.lower() for column, *_ in connection.execute(f"describe {suite.relation}").fetchall()}
    key = [result[column.lower()] for column in suite.key if column.lower() in result]
    if rule.severity == "quarantine" and "opportunity_id" not in result:
        raise UserError(f"{suite.file}: {rule.name}: a quarantine rule must select opportunity_id")
    text = f"{rule.sql} {rule.kwargs} {suite.show}".lower()
    shown = [column for low, column in result.items() if low not in table or re.search(rf"\b{re.escape(low)}\b", text)]
    amount = '"amount_base"' if "amount_base" in result else "null"
    deal, lock = ("opportunity_id", "lock_date") if "opportunity_id" in result else ("null", "null")
    lock = lock if "lock_date" in result else "null"
    return (
        connection.execute(
            f"""
            select {_json(key or list(result.values()))}, {_json([c for c in shown if c not in key])},
              cast({amount} as decimal(18, 2)), cast({deal} as varchar), cast({lock} as date)
            from ({query}) as failing
            """
        )
        .to_arrow_table()
        .rename_columns(FAILING_ROWS.names)
        .cast(FAILING_ROWS)
    )


def _json(columns: Sequence[str]) -> str:
    pairs = ", ".join(f"{_literal(column)}, {_column(column)}" for column in columns)
    return f"cast(json_object({pairs}) as varchar)"


# --- the record


def fingerprint(connection: duckdb.DuckDBPyConnection, relation: str) -> str:
    """`<sum of the rows' hashes>:<rows>`: the same for the same rows in any order. dbt's `require_gate` has it too."""
    query = f"select coalesce(sum(hash(t)::hugeint), 0)::varchar || ':' || count(*) from {relation} t"
    return connection.execute(query).fetchone()[0]


def run_gate(
    path: Path, gate: str, run_id: str, *, folder: Path = EXPECTATIONS, served_lock_date: dt.date | None = None
) -> Outcome:
    """Judge a gate, record it, and (raw) accept or refuse the loads that waited. No connection to the file may be open.

    gate: RAW judges the loads with status `landed`; a load with any failed error is refused in all its tables.
    FORECAST_INPUTS judges `forecast.inputs`, and passes only for its present contents.
    """
    suites = [suite for suite in load_suites(folder) if suite.gate == gate]
    with warehouse.connect(path) as connection:
        if gate == RAW:
            pending = landing.pending(connection)
            suites = _arrived(connection, suites, {load.schema for load in pending})
            stamp, lock_date = None, None
        else:
            if not _exists(connection, INPUTS):
                raise UserError(f"{INPUTS} does not exist yet, so there is nothing to judge; build the models first")
            _history_view(connection)
            stamp = fingerprint(connection, INPUTS)
            lock_date = connection.execute(f"select max(lock_date) from {INPUTS}").fetchone()[0]
    verdicts = run_suites(suites, path)
    with warehouse.connect(path) as connection:
        refused = _refusals(verdicts, pending) if gate == RAW else {}
        outcome = record(
            connection, run_id, gate, verdicts, fingerprint=stamp, lock_date=lock_date,
            served_lock_date=served_lock_date, refused_loads=sorted(refused),
        )  # fmt: skip
        if gate == RAW:
            for load in pending:
                landing.judge(
                    connection, load.schema, load.load_id, load.load_id not in refused, refused.get(load.load_id)
                )
    return outcome


def _arrived(connection, suites: Sequence[Suite], schemas: set[str]) -> list[Suite]:
    """The raw suites for whose table something new waits, each with a view of just those rows in schema `gate`.

    A `loads` suite sees each waiting load beside the accepted ones before it (same origin, system and table).
    """
    waiting = {f"{schema}.loads" for schema in schemas}
    for schema in schemas:
        tables = connection.execute(
            f"select distinct table_name from {schema}.loads where status = 'landed' and rows_landed > 0"
        ).fetchall()
        waiting |= {f"{schema}.{table}" for (table,) in tables}
    suites = [suite for suite in suites if suite.table in waiting]
    connection.execute("create schema if not exists gate")
    for suite in suites:
        schema, table = suite.table.split(".")
        if table == "loads":
            select = f"""
                select
                  pending.*,
                  count(earlier.load_id) as earlier_loads,
                  max(earlier.extracted_at) as previous_extracted_at,
                  arg_max(earlier.rows_read, earlier.load_id) as previous_rows_read,
                  median(earlier.rows_read) as median_rows_read,
                  median(earlier.rows_landed) as median_rows_landed
                from {schema}.loads as pending
                left join {schema}.loads as earlier
                  on earlier.origin = pending.origin and earlier.system = pending.system
                  and earlier.table_name = pending.table_name and earlier.kind <> 'correction'
                  and earlier.status = 'accepted' and earlier.load_id < pending.load_id
                where pending.status = 'landed'
                group by all"""
        else:
            select = f"""
                select * from {suite.table} where not _is_correction and not _is_deleted and _load_id in (
                  select load_id from {schema}.loads where status = 'landed' and table_name = '{table}')"""
        connection.execute(f"create or replace view {suite.relation} as {select}")
    return suites


def _history_view(connection) -> None:
    """`gate.last_passed`: rows and lock of the last inputs that passed with the sources of now; at most one row."""
    connection.execute("create schema if not exists gate")
    connection.execute(
        f"""
        create or replace view gate.last_passed as
        select lock_date, cast(split_part(fingerprint, ':', 2) as bigint) as row_count, failed_amount_base, checked_at
        from forecast.gate
        where gate = '{FORECAST_INPUTS}' and check_name = '{VERDICT}' and is_passed and sources = ({SOURCES_NOW})
        order by checked_at desc
        limit 1
        """
    )


SOURCES_NOW = "select string_agg(origin || ':' || system, ', ' order by origin, system) from ops.active_sources"


def _refusals(verdicts: Sequence[Verdict], pending: Sequence[landing.PendingLoad]) -> dict[int, str]:
    """load_id to why it is refused: in every schema, because a load is one transaction of a source."""
    reasons: dict[int, list[str]] = {}
    for verdict in verdicts:
        if verdict.is_passed or verdict.severity != "error":
            continue
        for load in pending:
            if verdict.table.startswith(f"{load.schema}."):
                reasons.setdefault(load.load_id, []).append(f"{verdict.table}: {verdict.check_name}")
    return {load_id: "; ".join(texts) for load_id, texts in reasons.items()}


def record(
    connection: duckdb.DuckDBPyConnection,
    run_id: str,
    gate: str,
    verdicts: Sequence[Verdict],
    *,
    fingerprint: str | None = None,
    lock_date: dt.date | None = None,
    served_lock_date: dt.date | None = None,
    refused_loads: Sequence[int] = (),
) -> Outcome:
    """Append verdicts, their failing rows and the `verdict` row, in one transaction. Passed = no error failed.

    The verdict row's rows and money are those held back: all of `forecast.inputs` where an error failed, else the rows
    in quarantine, each counted once.
    """
    failed = [verdict for verdict in verdicts if not verdict.is_passed]
    errors = [verdict for verdict in failed if verdict.severity == "error"]
    quarantined = [verdict for verdict in failed if verdict.severity == "quarantine"]
    checked_at = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    sources = connection.execute(SOURCES_NOW).fetchone()[0]

    if errors:
        rows, money = _inputs_total(connection)
        held = _held_back(gate, refused_loads, lock_date)
        rows = 0 if gate == RAW else rows  # a refused load's own deals are not known yet
    else:
        rows, money = _distinct(connection, quarantined)
        held = f"{rows} {'deal' if rows == 1 else 'deals'} in quarantine" if rows else None

    def row(suite, check_name, severity, is_passed, count, amount, reason, owner, held_back):
        return [
            run_id, checked_at, gate, suite, check_name, severity, is_passed, count, amount, reason, owner, held_back,
            lock_date, served_lock_date, fingerprint, sources,
        ]  # fmt: skip

    summary = (
        f"{len(verdicts)} checks: {len(errors)} failed as error, {len(quarantined)} as quarantine, "
        f"{len(failed) - len(errors) - len(quarantined)} as warning"
    )
    rows_to_add = [
        row(v.suite, v.check_name, v.severity, v.is_passed, v.rows_failed_count, v.failed_amount_base, v.reason,
            v.owner, None if v.is_passed or v.severity == "warning" else _check_held_back(v, held))
        for v in verdicts
    ]  # fmt: skip
    rows_to_add.append(row(gate, VERDICT, "error", not errors, rows, money, summary, None, held))
    columns = (
        "run_id, checked_at, gate, suite, check_name, severity, is_passed, rows_failed_count, failed_amount_base, "
        "reason, owner, held_back, lock_date, served_lock_date, fingerprint, sources"
    )
    connection.begin()
    try:
        connection.executemany(
            f"insert into forecast.gate ({columns}) values ({', '.join('?' * len(rows_to_add[0]))})", rows_to_add
        )
        for verdict in failed:
            connection.register("failing", verdict.failing)
            connection.execute(
                """
                insert into forecast.gate_failing_rows
                  (run_id, checked_at, suite, check_name, row_key, row_text, amount_base, opportunity_id, lock_date)
                select ?, ?, ?, ?, row_key, row_text, amount_base, opportunity_id, lock_date from failing
                """,
                [run_id, checked_at, verdict.suite, verdict.check_name],
            )
            connection.unregister("failing")
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return Outcome(gate, not errors, tuple(verdicts), held, rows, money)


def _held_back(gate: str, loads: Sequence[int], lock_date: dt.date | None) -> str:
    if gate == RAW:
        which = f"load {', '.join(map(str, loads))}" if loads else "the arrived load"
        return f"{which}, and every mart and forecast that would rest on it"
    return f"the forecast of lock {lock_date} and the release it would go into"


def _check_held_back(verdict: Verdict, held: str | None) -> str | None:
    if verdict.severity == "error":
        return held
    count = verdict.rows_failed_count
    return f"{count} {'deal' if count == 1 else 'deals'} in quarantine"


def _inputs_total(connection) -> tuple[int, Decimal | None]:
    if not _exists(connection, INPUTS):
        return 0, None
    return connection.execute(f"select count(*), cast(sum(amount_base) as decimal(18, 2)) from {INPUTS}").fetchone()


def _distinct(connection, verdicts: Sequence[Verdict]) -> tuple[int, Decimal | None]:
    """Rows and money of several verdicts, a row that fails twice counted once."""
    if not verdicts:
        return 0, None
    connection.register("failing", pa.concat_tables(verdict.failing for verdict in verdicts))
    query = """
        select count(*), cast(sum(amount_base) as decimal(18, 2))
        from (select row_key, max(amount_base) as amount_base from failing group by row_key)
    """
    total = connection.execute(query).fetchone()
    connection.unregister("failing")
    return total


def _exists(connection, relation: str) -> bool:
    schema, table = relation.split(".")
    query = "select count(*) from information_schema.tables where table_schema = ? and table_name = ?"
    return connection.execute(query, [schema, table]).fetchone()[0] > 0


def require_pass(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise UserError unless the latest verdict on `forecast.inputs` passed, and for the contents it has now."""
    if not _exists(connection, INPUTS) or not _exists(connection, "forecast.gate"):
        raise UserError(f"{INPUTS} was never judged; run the pipeline before publishing")
    verdict = connection.execute(
        f"""
        select is_passed, fingerprint, held_back, run_id from forecast.gate
        where gate = '{FORECAST_INPUTS}' and check_name = '{VERDICT}' order by checked_at desc limit 1
        """
    ).fetchone()
    if verdict is None:
        raise UserError(f"{INPUTS} was never judged; run the pipeline before publishing")
    is_passed, stamp, held_back, run_id = verdict
    if not is_passed:
        failed = connection.execute(
            """
            select check_name from forecast.gate
            where run_id = ? and gate = ? and severity = 'error' and not is_passed and check_name <> ?
            order by check_name
            """,
            [run_id, FORECAST_INPUTS, VERDICT],
        ).fetchall()
        names = ", ".join(name for (name,) in islice(failed, 3))
        raise UserError(f"the gate holds back {held_back}: {names} failed; see status/index.html")
    if stamp != fingerprint(connection, INPUTS):
        raise UserError(f"{INPUTS} changed after the gate passed it; judge it again (run the pipeline)")
