"""A small warehouse made by hand: a few open deals before the gate, a few rows of an export that wait to be judged."""

from __future__ import annotations

from pathlib import Path

from dagster_project import warehouse
from dagster_project.settings import Settings

LOCK_DATE = "2025-06-29"
DEAL = {
    "opportunity_id": "d", "lock_date": LOCK_DATE, "source_system": "acme", "stage": "Proposal", "is_known_stage": True,
    "rep_id": "r1", "is_rep_active": True, "amount": 1000, "currency_code": "USD", "has_rate": True,
    "amount_base": 1000, "close_date": "2025-08-31", "is_overdue": False, "forecast_category": "pipeline",
    "probability": 0.4, "quarter_start_date": "2025-04-01", "quarter_end_date": "2025-06-30", "account_id": None,
    "created_date": "2025-05-01", "days_open": 59, "days_in_stage": 10, "days_since_two_way": 3,
    "learned_at": "2025-06-20",
}  # fmt: skip
TYPES = {
    "lock_date": "date", "is_known_stage": "boolean", "is_rep_active": "boolean", "amount": "decimal(18, 2)",
    "has_rate": "boolean", "amount_base": "decimal(18, 2)", "close_date": "date", "is_overdue": "boolean",
    "probability": "decimal(9, 4)", "quarter_start_date": "date", "quarter_end_date": "date", "created_date": "date",
    "days_open": "integer", "days_in_stage": "integer", "days_since_two_way": "integer", "learned_at": "timestamp",
}  # fmt: skip

# What the gate's rules read beside the inputs.
BESIDE = {
    "intermediate.int_locks_due": "company_id bigint, lock_date date, is_backfilled boolean",
    "intermediate.int_week_wins": "opportunity_id varchar, amount_base decimal(18, 2), is_explained boolean",
    "core.fct_quotas": "rep_id varchar, quota_type varchar, period_start_date date, period_end_date date",
}


def settings_in(folder: Path) -> Settings:
    return Settings(warehouse=folder / "warehouse.duckdb", published=folder / "published")


def make(settings: Settings, deals: list[dict]) -> Settings:
    """A warehouse whose source is the export `acme`; `deals` fill `forecast.inputs`, DEAL where they are silent."""
    with warehouse.connect(settings.warehouse) as connection:
        warehouse.prepare(connection)
        connection.execute("insert into ops.active_sources values ('files', 'acme')")
        connection.execute("create schema if not exists intermediate; create schema core")
        connection.execute(
            f"""
            create table intermediate.int_as_of as
            select timestamp '2025-06-30 12:00:00' as as_of_at, date '{LOCK_DATE}' as lock_date,
              timestamp '2025-06-30' as lock_at
            """
        )
        for table, columns in BESIDE.items():
            connection.execute(f"create table {table} ({columns})")
        columns = ", ".join(f"{name} {TYPES.get(name, 'varchar')}" for name in DEAL)
        connection.execute(f"create table forecast.inputs ({columns})")
        connection.execute(
            """
            create table core.dim_reps as
            select 'r1' as rep_id, 'Ann' as rep_name, 'rep' as role, 'active' as status,
              date '2024-01-01' as valid_from_date, null::date as valid_to_date
            """
        )
        connection.execute("create view core.active_reps as select * from warehouse.core.dim_reps")
        connection.execute("comment on table core.dim_reps is 'One row per rep''s assignment'")
        connection.execute("comment on column core.dim_reps.rep_id is 'The rep'")
        connection.execute("comment on column core.active_reps.rep_name is 'Her or his name'")
    set_deals(settings, deals)
    return settings


def set_deals(settings: Settings, deals: list[dict]) -> None:
    rows = [list({**DEAL, "opportunity_id": f"d{number}", **deal}.values()) for number, deal in enumerate(deals)]
    with warehouse.connect(settings.warehouse) as connection:
        connection.execute("delete from forecast.inputs")
        if rows:
            connection.executemany(f"insert into forecast.inputs values ({', '.join('?' * len(DEAL))})", rows)


def arrive(
    settings: Settings, load_id: int, ids: list[str], extracted_at: str = "2025-06-30", rows_read: int | None = None
):
    """An export of `acme` with these opportunities, landed and waiting for its verdict."""
    with warehouse.connect(settings.warehouse) as connection:
        for id_ in ids:
            connection.execute(
                """
                insert into raw_files.opportunities by name
                select 'acme' as source_system, ? as opportunity_id, 'Proposal' as stage, 100 as amount, ? as _load_id,
                  1 as _version, false as _is_deleted, false as _is_correction, cast(? as timestamp) as _extracted_at
                """,
                [id_, load_id, extracted_at],
            )
        connection.execute(
            """
            insert into raw_files.loads by name
            select ? as load_id, 'opportunities' as table_name, 'files' as origin, 'acme' as system, 'load' as kind,
              cast(? as timestamp) as first_extracted_at, cast(? as timestamp) as extracted_at,
              now()::timestamp as loaded_at, 'landed' as status, ? as rows_read, ? as rows_landed, 0 as rows_deleted,
              0 as rows_rejected, 0.1 as seconds
            """,
            [load_id, extracted_at, extracted_at, len(ids) if rows_read is None else rows_read, len(ids)],
        )


def query(settings: Settings, sql: str) -> list[tuple]:
    with warehouse.connect(settings.warehouse, read_only=True) as connection:
        return connection.execute(sql).fetchall()
