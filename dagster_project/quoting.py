"""Names and values as they stand in SQL."""

from __future__ import annotations

import datetime as dt


def name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def relation(table: str) -> str:
    """Of `schema.table`."""
    schema, _, bare = table.partition(".")
    return f"{name(schema)}.{name(bare)}"


def value(given: str | dt.date | float) -> str:
    return "'" + str(given).replace("'", "''") + "'" if isinstance(given, str | dt.date) else str(given)
