"""Where results of the forecast are kept: `archive`, by company. What is published of it stands in dbt/models/forecast.

Forecasts of a lock are appended once and never restated; what a backtest found is replaced by the next one. Not here:
how either is worked out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from dagster_project.forecast.shapes import TABLES
from dagster_project.transactions import transaction

COMPANY = "(select company_id from ops.company)"


REPLACED = [name for name, (_, _, is_appended) in TABLES.items() if not is_appended]


@contextmanager
def replacing(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """What is kept of a backtest within the block takes the place of what the last one found when the block ends; where
    it raises, that stays. Until then it stands beside, in `found_` tables."""
    for name in REPLACED:
        connection.execute(f"create or replace table archive.found_{name} as from archive.{name} limit 0")
    yield
    with transaction(connection):
        for name in REPLACED:
            connection.execute(f"delete from archive.{name} where company_id = {COMPANY}")
            connection.execute(f"insert into archive.{name} from archive.found_{name}")
            connection.execute(f"drop table archive.found_{name}")


def keep(connection: duckdb.DuckDBPyConnection, name: str, rows: pd.DataFrame) -> int:
    """Append forecasts, of new locks only, or what a backtest found while `replacing`; returns how many rows."""
    columns, _, is_appended = TABLES[name]
    target = f"archive.{name}" if is_appended else f"archive.found_{name}"
    own = [column for column in columns if column != "company_id"]
    missing = [column for column in own if column not in rows]
    if missing:
        raise ValueError(f"archive.{name} needs {', '.join(missing)}")
    connection.register("_kept", pa.Table.from_pandas(_rounded(rows[own], columns), preserve_index=False))
    try:
        taken = f"where lock_date not in (select lock_date from archive.{name} where company_id = {COMPANY})"
        listed = ", ".join(f"cast({column} as {columns[column]}) as {column}" for column in own)
        return connection.execute(
            f"insert into {target} by name select {COMPANY} as company_id, {listed} from _kept "
            f"{taken if is_appended else ''}"
        ).fetchone()[0]
    finally:
        connection.unregister("_kept")


def _rounded(rows: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Money in cents, half a cent away from the arithmetic's last bits; no infinities."""
    money = [name for name in rows if columns[name].startswith("DECIMAL")]
    return rows.assign(**{name: rows[name].astype(float).replace([np.inf, -np.inf], np.nan).round(6) for name in money})


def forecast_dates(connection: duckdb.DuckDBPyConnection) -> list:
    """Lock dates of this company that are forecast."""
    query = f"select distinct lock_date from archive.quarter_forecasts where company_id = {COMPANY}"
    return [day for (day,) in connection.execute(query).fetchall()]


def locks_to_forecast(connection: duckdb.DuckDBPyConnection) -> list:
    """Lock dates that were taken since the newest one that is forecast; where none is, the newest alone."""
    newest = max(forecast_dates(connection), default=None)
    dates = [day for (day,) in connection.execute("select lock_date from forecast.locks order by lock_date").fetchall()]
    return [day for day in dates if day > newest] if newest else dates[-1:]


def backtest_people(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """The people of settled quarters as the newest backtest forecast them; empty before the first one."""
    return connection.execute(
        """
        select * exclude (company_id) from archive.backtest_people
        where company_id = (select company_id from ops.company)
        order by lock_date, rep_id, team, segment
        """
    ).df()
