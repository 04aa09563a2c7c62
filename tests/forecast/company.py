"""A small company made up whole: locks, deals and calls as they stand once frozen, with a truth that is known.

No models are built for it, so that a test may cut it off at a day, or change what came, in no time.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd

from dagster_project.forecast import shapes
from dagster_project.forecast.frame import STATUSES

REPS = {f"r{number}": f"T{number % 2}" for number in range(6)}
STARTS = [day.date() for day in pd.date_range("2022-01-01", periods=7, freq="QS")]
SETTLES_AFTER = 7
CHANCES = np.array([0.3, 0.5, 0.8])  # of a deal of each stage; a third of it without a champion


def _end(start: date) -> date:
    return (pd.Timestamp(start) + pd.offsets.QuarterEnd()).date()


def _locks() -> pd.DataFrame:
    rows = []
    for start in STARTS:
        for week in range(1, 14):
            day = start + timedelta(days=7 * week - 1)
            if day <= _end(start):
                rows.append(
                    (day, datetime.combine(day, datetime.min.time()) + timedelta(days=1), start, _end(start), week)
                )
    names = ["lock_date", "lock_at", "quarter_start_date", "quarter_end_date", "week_of_quarter"]
    return pd.DataFrame(rows, columns=names)


def _deals(seed: int, a_quarter: int) -> pd.DataFrame:
    """Each is opened and ends within one quarter."""
    rng, rows = np.random.default_rng(seed), []
    for start in STARTS:
        for number in range(a_quarter):
            opened = start + timedelta(days=int(rng.integers(0, 60)))
            closed = min(opened + timedelta(days=int(rng.integers(15, 60))), _end(start))
            stage, champion = int(rng.integers(0, 3)), bool(rng.random() < 0.4)
            is_won = rng.random() < CHANCES[stage] * (1.0 if champion else 1 / 3)
            rep = f"r{rng.integers(0, len(REPS))}"
            rows.append((f"{start}-{number}", start, opened, closed, stage, champion, is_won, rep, rng.gamma(4, 2500)))
    names = [
        "opportunity_id",
        "quarter_start_date",
        "opened",
        "closed",
        "stage",
        "champion",
        "is_won",
        "rep_id",
        "amount",
    ]
    return pd.DataFrame(rows, columns=names)


def build(until: date = date.max, seed: int = 1, a_quarter: int = 60) -> duckdb.DuckDBPyConnection:
    """The company as it was known at the end of a day."""
    locks, deals, rng = _locks(), _deals(seed, a_quarter), np.random.default_rng(seed + 100)
    deals["team"], deals["segment"], deals["amount"] = deals["rep_id"].map(REPS), "S", deals["amount"].round(2)
    deals = deals.merge(locks[["quarter_start_date", "quarter_end_date"]].drop_duplicates(), on="quarter_start_date")
    at = deals.merge(locks.drop(columns="quarter_end_date"), on="quarter_start_date")
    came = deals[deals["is_won"]].groupby(["rep_id", "quarter_start_date"])["amount"].sum()
    won = at[at["is_won"] & (at["closed"] <= at["lock_date"])]
    people = locks.merge(pd.DataFrame({"rep_id": REPS.keys(), "team": REPS.values(), "segment": "S"}), how="cross")
    calls = people.assign(
        scope="own",
        commit_amount_base=[
            came.get((row.rep_id, row.quarter_start_date), 0) * float(np.exp(0.2 * rng.standard_normal()))
            for row in people.itertuples()
        ],
    )
    open_ = at[(at["opened"] <= at["lock_date"]) & (at["closed"] > at["lock_date"])]
    days = lambda later, earlier: [(a - b).days for a, b in zip(later, earlier, strict=True)]  # noqa: E731
    inputs = open_[["opportunity_id", "lock_date", "quarter_start_date", "rep_id", "team", "segment"]].assign(
        source_system="crm", pipeline="p", stage="stage " + open_["stage"].astype(str), stage_order=open_["stage"],
        reconstructed_fields=None, amount_base=open_["amount"], amount_change_30d=0.0,
        days_to_close=days(open_["closed"], open_["lock_date"]), forecast_category="pipeline",
        supported_category=np.where(open_["champion"], "commit", "pipeline"), probability=CHANCES[open_["stage"]],
        days_left_in_quarter=days(open_["quarter_end_date"], open_["lock_date"]),
        days_open=days(open_["lock_date"], open_["opened"]), days_in_stage=days(open_["lock_date"], open_["opened"]),
        push_count=0, slip_count=0, activity_count_30d=1, two_way_count_30d=1, meeting_count_30d=0,
        days_since_two_way=3, contact_count=1, next_step_date=open_["closed"], decision_timeline=open_["closed"],
        **{f"{fact}_status": "absent" for fact in STATUSES}, verified_count=open_["champion"].astype(int),
        is_held_out=False,
    )  # fmt: skip
    inputs["champion_status"] = np.where(open_["champion"], "verified", "absent")
    settled = [(start, True, datetime.combine(_end(start), datetime.min.time()) + timedelta(days=1 + SETTLES_AFTER))
               for start in STARTS]  # fmt: skip
    end = [datetime.combine(day, datetime.min.time()) + timedelta(hours=12) for day in deals["closed"]]
    born = [datetime.combine(day, datetime.min.time()) for day in deals["opened"]]
    states = pd.concat([
        deals[["opportunity_id", "rep_id"]].assign(valid_from_at=born, outcome="open", state_number=1),
        deals[["opportunity_id", "rep_id"]].assign(
            valid_from_at=end, outcome=np.where(deals["is_won"], "won", "lost"), state_number=2),
    ]).assign(is_deleted=False, merged_into_id=None, is_excluded=False)  # fmt: skip
    actual = came.rename("amount").reset_index().merge(people[["rep_id", "team", "segment"]].drop_duplicates())
    tables = {
        "forecast.locks": locks.assign(fiscal_quarter="q", is_backfilled=True),
        "forecast.locked_inputs": inputs,
        "forecast.locked_calls": calls,
        "forecast.locked_progress": won.groupby(["lock_date", "rep_id", "team", "segment"])["amount"]
        .agg(won_amount="sum", won_count="size").reset_index(),
        "intermediate.int_locks": pd.DataFrame(settled, columns=["quarter_start_date", "is_settlement", "lock_at"]),
        "intermediate.int_forecasts_made": actual.assign(method="actual", week_of_quarter=None, deal_count=1),
        "intermediate.int_rep_attributes": pd.DataFrame(
            {"rep_id": REPS.keys(), "team": REPS.values(), "segment": "S", "valid_from_date": date(2020, 1, 1),
             "valid_to_date": None}),
        "core.dim_reps": pd.DataFrame(
            {"rep_id": REPS.keys(), "status": "active", "role": "rep", "spell_start_date": date(2020, 1, 1),
             "valid_from_date": date(2020, 1, 1), "valid_to_date": None}),
        "core.fct_opportunity_states": states.assign(learned_at=states["valid_from_at"]),
        "core.fct_closings": deals[["opportunity_id", "quarter_start_date", "rep_id"]].assign(
            amount_base=deals["amount"], outcome=np.where(deals["is_won"], "won", "lost"), recorded_at=end,
            period_type="quarter"),
        "ops.company": pd.DataFrame({"company_id": [1]}),
    }  # fmt: skip
    known_by = {
        "forecast.locks": "lock_date", "forecast.locked_inputs": "lock_date", "forecast.locked_calls": "lock_date",
        "forecast.locked_progress": "lock_date", "core.fct_opportunity_states": "cast(valid_from_at as date)",
        "core.fct_closings": "cast(recorded_at as date)",
        "intermediate.int_locks": "cast(lock_at as date) - 1",
        "intermediate.int_forecasts_made": f"quarter_start_date + {91 + SETTLES_AFTER}",
    }  # fmt: skip
    types = {"valid_to_date": "date", "week_of_quarter": "integer", "merged_into_id": "varchar",
             "reconstructed_fields": "varchar"}  # fmt: skip
    connection = duckdb.connect()
    for schema in ("forecast", "intermediate", "core", "ops", "archive"):
        connection.execute(f"create schema {schema}")
    for table, rows in tables.items():
        frame = rows  # noqa: F841, read by its name
        dated = [name for name in rows if name.endswith("_date") or name in ("decision_timeline", "lock_date")]
        cast = {name: "date" for name in dated} | {name: kind for name, kind in types.items() if name in rows}
        listed = ", ".join(f"cast({name} as {kind}) as {name}" for name, kind in cast.items())
        known = f"where {known_by[table]} <= date '{until}'" if table in known_by and until != date.max else ""
        typed = f"select * {f'replace ({listed})' if listed else ''} from frame"
        connection.execute(f"create table {table} as select * from ({typed}) {known}")
    for relation, (columns, _) in shapes.shapes().items():
        connection.execute(f"create table {relation} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")
    return connection
