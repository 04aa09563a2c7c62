"""All of it or nothing: statements that stand or fall together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import duckdb


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """What the block wrote is there when it ends; where it raises, none of it ever was."""
    connection.execute("begin")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        with suppress(duckdb.Error):  # what ended the transaction by itself is what is told
            connection.execute("rollback")
        raise
