"""Great Expectations judges the rules of a suite; every failing row is fetched beside.

Not here: what the verdicts stop, and where they are kept (`recording.py`).
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from dagster_project import quoting, warehouse
from dagster_project.gate.suites import ABOUT_THE_SET, Rule, Suite, broken_by
from dagster_project.settings import UserError, nearest

FAILING_ROWS = pa.schema(
    [("row_key", pa.string()), ("row_text", pa.string()), ("amount_base", pa.decimal128(18, 2)),
     ("opportunity_id", pa.string()), ("lock_date", pa.date32())]
)  # fmt: skip


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
                    query = broken_by(rule, suite.relation).replace("{", "{{").replace("}", "}}")
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
    query = broken_by(rule, suite.relation)
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
    pairs = ", ".join(f"{quoting.value(column)}, {quoting.name(column)}" for column in columns)
    return f"cast(json_object({pairs}) as varchar)"
