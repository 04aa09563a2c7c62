"""Where results of the forecast are kept: `archive`, by company. What is published of it stands in dbt/models/forecast.

Forecasts of a lock are appended once and never restated; what a backtest found is replaced by the next one. Not here:
how either is worked out.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from dagster_project.forecast.shapes import TABLES

COMPANY = "(select company_id from ops.company)"


def clear(connection: duckdb.DuckDBPyConnection) -> None:
    """Take out what the last backtest found; what forecasts said stays."""
    for name, (_, _, is_appended) in TABLES.items():
        if not is_appended:
            connection.execute(f"delete from archive.{name} where company_id = {COMPANY}")


def keep(connection: duckdb.DuckDBPyConnection, name: str, rows: pd.DataFrame) -> int:
    """Append the rows, forecasts only of locks that are not there yet; returns how many."""
    columns, _, is_appended = TABLES[name]
    own = [column for column in columns if column != "company_id"]
    missing = [column for column in own if column not in rows]
    if missing:
        raise ValueError(f"archive.{name} needs {', '.join(missing)}")
    connection.register("_kept", pa.Table.from_pandas(_rounded(rows[own], columns), preserve_index=False))
    try:
        taken = f"where lock_date not in (select lock_date from archive.{name} where company_id = {COMPANY})"
        listed = ", ".join(f"cast({column} as {columns[column]}) as {column}" for column in own)
        return connection.execute(
            f"insert into archive.{name} by name select {COMPANY} as company_id, {listed} from _kept "
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
