"""Whether two marts files say the same: the same tables, columns, types and rows, duplicates counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

OWN = {"forecast.gate", "forecast.gate_failing_rows"}  # a run's record of itself, with its instants


@dataclass(frozen=True)
class Difference:
    """A table on which two files do not agree; `what` says how, `examples` are rows or columns."""

    table: str
    what: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """`rows`: by table that both have. `missing`: tables the second lacks and need not have."""

    rows: dict[str, int]
    differences: tuple[Difference, ...]
    missing: tuple[str, ...] = ()


def compare(
    first: Path,
    second: Path,
    schemas: Iterable[str],
    is_partial: bool = False,
    ignored: Iterable[str] = (),
    only: Mapping[str, str] | None = None,
) -> Compared:
    """Every table of the schemas, both ways. `is_partial`: the second may lack tables; `ignored`: columns left out;
    `only`: by table, the rows that count."""
    schemas, ignored, only = list(schemas), set(ignored), only or {}
    rows, differences, missing = {}, [], []
    with duckdb.connect() as connection:
        connection.execute(f"attach '{first}' as first (read_only); attach '{second}' as second (read_only)")
        ours, theirs = (_columns(connection, name, schemas, ignored) for name in ("first", "second"))
        for table in sorted((ours.keys() | theirs.keys()) - OWN):
            if table not in theirs and is_partial:
                missing.append(table)
            elif table not in ours or table not in theirs:
                differences.append(Difference(table, f"only in the {'first' if table in ours else 'second'}"))
            elif ours[table] != theirs[table]:
                unlike = sorted(set(ours[table]) ^ set(theirs[table])) or ["their order"]
                differences.append(Difference(table, "columns differ", tuple(map(str, unlike))))
            else:
                rows[table] = _count(connection, f"first.{table}")
                columns = ", ".join(name for name, _ in ours[table])
                differences += _unlike(connection, table, columns, only.get(table, "true"))
    return Compared(rows, tuple(differences), tuple(missing))


def _columns(connection, database: str, schemas: list[str], ignored: set[str]) -> dict[str, list[tuple[str, str]]]:
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, name, kind in connection.execute(
        """
        select schema_name || '.' || table_name, '"' || column_name || '"', data_type
        from duckdb_columns() inner join duckdb_tables() using (database_name, schema_name, table_name)
        where database_name = ? and list_contains(?, schema_name)
        order by table_name, column_index
        """,
        [database, schemas],
    ).fetchall():
        if name.strip('"') not in ignored:
            columns.setdefault(table, []).append((name, kind))
    return columns


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    return connection.execute(f"select count(*) from {relation}").fetchone()[0]


def _unlike(connection: duckdb.DuckDBPyConnection, table: str, columns: str, rows: str) -> Iterator[Difference]:
    for here, there in (("first", "second"), ("second", "first")):
        only = " except all ".join(f"select {columns} from {name}.{table} where {rows}" for name in (here, there))
        only = f"({only})"
        if count := _count(connection, only):
            examples = connection.execute(f"from {only} limit 3").fetchall()
            yield Difference(table, f"{count:,} rows only in the {here}", tuple(map(str, examples)))
