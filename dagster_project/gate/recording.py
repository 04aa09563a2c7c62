"""A gate as it is run and recorded: verdicts in `forecast.gate`, failing rows in `forecast.gate_failing_rows`, loads
accepted or refused; and whether the newest verdict lets the forecast speak.

Not here: how a rule is judged (`judging.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa

from dagster_project import warehouse
from dagster_project.gate.judging import Verdict, run_suites
from dagster_project.gate.suites import EXPECTATIONS, FORECAST_INPUTS, INPUTS, RAW, VERDICT, Suite, load_suites
from dagster_project.settings import UserError
from dagster_project.sources import landing


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


FINGERPRINT = "coalesce(sum(hash(t)::hugeint), 0)::varchar || ':' || count(*)"


def fingerprint(connection: duckdb.DuckDBPyConnection, relation: str) -> str:
    """`<sum of the rows' hashes>:<rows>`: the same for the same rows in any order. dbt's `require_gate` has it too."""
    return connection.execute(f"select {FINGERPRINT} from {relation} t").fetchone()[0]


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
