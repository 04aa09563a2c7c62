"""Locks: at each week's end what the forecast rests on is frozen, once and for ever.

A lock that is taken is never restated: what is learned or mended later shows in the locks after it. One that was missed
is taken afterwards from what was known then, and says so (`is_backfilled`). What was known at a lock is worked out in
dbt/models/forecast (`int_*_due`), whether it may be used is the gate's word.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import duckdb

from dagster_project import gate
from dagster_project.transactions import transaction

# Archived table to the relation with what is due for it.
DUE = {
    "locked_inputs": "intermediate.int_inputs_due",
    "locked_calls": "intermediate.int_calls_due",
    "locked_progress": "intermediate.int_progress_due",
}
INPUTS = DUE["locked_inputs"]


@dataclass(frozen=True)
class Frozen:
    """What one run froze. lock_dates: earliest first, so many of them backfilled; rows: archived table to new rows."""

    lock_dates: tuple[dt.date, ...]
    backfilled: int
    rows: dict[str, int]


def freeze(connection: duckdb.DuckDBPyConnection, run_id: str, folder: Path = gate.EXPECTATIONS) -> Frozen:
    """Freeze every lock that is due, all of them or none; a lock that is frozen already stays as it is.

    Deals that a quarantine rule in `folder` finds are marked as held out, in missed locks by the rules of today.
    UserError where the gate has not passed the present inputs.
    """
    gate.require_pass(connection)
    with transaction(connection):
        _find_due(connection)
        locks = connection.execute("select lock_date, is_backfilled from temp.due order by lock_date").fetchall()
        rows = _freeze(connection, run_id, folder) if locks else dict.fromkeys(("locks", *DUE), 0)
    return Frozen(tuple(lock_date for lock_date, _ in locks), sum(late for _, late in locks), rows)


def _find_due(connection: duckdb.DuckDBPyConnection) -> None:
    """The models say what is due; what was frozen since they were built is not."""
    connection.execute(
        """
        create or replace temp table due as
        from intermediate.int_locks_due anti join archive.locks using (company_id, lock_date)
        """
    )


def _freeze(connection: duckdb.DuckDBPyConnection, run_id: str, folder: Path) -> dict[str, int]:
    connection.execute(
        f"""
        create or replace temp table held_out as
        select opportunity_id, lock_date, string_agg(distinct rule, ', ' order by rule) as held_out_by
        from ({_held_out(folder)}) group by opportunity_id, lock_date
        """
    )
    inputs = f"""
        select inputs.*, held_out_by is not null as is_held_out, held_out_by
        from {INPUTS} as inputs left join temp.held_out using (opportunity_id, lock_date)
    """
    rows = {}
    for name, relation in DUE.items():
        what = f"({inputs})" if relation == INPUTS else relation
        rows[name] = _added(
            connection,
            f"insert into archive.{name} by name select company_id, what.* from {what} as what "
            "inner join temp.due on due.lock_date = what.lock_date",
        )
    rows["locks"] = _added(
        connection,
        f"""
        insert into archive.locks by name
        select due.*, ? as locked_at, ? as run_id, coalesce(deal_count, 0) as deal_count,
          coalesce(open_amount, 0) as open_amount, coalesce(inputs_fingerprint, '0:0') as inputs_fingerprint
        from temp.due left join (
          select lock_date, count(*) as deal_count, cast(sum(amount_base) as decimal(18, 2)) as open_amount,
            {gate.FINGERPRINT} as inputs_fingerprint
          from {INPUTS} as t group by lock_date
        ) as stamps using (lock_date)
        """,
        [dt.datetime.now(dt.UTC).replace(tzinfo=None), run_id],
    )
    return rows


def _held_out(folder: Path) -> str:
    """The deals that quarantine rules find among what is due, each with the rule."""
    rules = [
        rule
        for suite in gate.load_suites(folder)
        if suite.gate == gate.FORECAST_INPUTS
        for rule in suite.rules
        if rule.severity == "quarantine"
    ]
    nobody = "select null::varchar as opportunity_id, null::date as lock_date, null::varchar as rule where false"
    found = (f"select opportunity_id, lock_date, '{rule.name}' from ({gate.broken_by(rule, INPUTS)})" for rule in rules)
    return " union all ".join((nobody, *found))


def _added(connection: duckdb.DuckDBPyConnection, insert: str, values: list | None = None) -> int:
    return connection.execute(insert, values or []).fetchone()[0]
