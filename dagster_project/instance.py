"""Dagster's own folder: run history, schedules' state, logs; beside the warehouse unless DAGSTER_HOME says otherwise.

Not here: what Dagster runs (`defs/`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from dagster_project.settings import Settings, UserError

if TYPE_CHECKING:
    from dagster import DagsterInstance

TEMPLATE = Path(__file__).with_name("dagster.yaml")


def dagster_home(settings: Settings) -> Path:
    """The folder, made with its configuration if it is not there, and set as DAGSTER_HOME for this process and its
    children. An existing configuration is left alone. UserError where it cannot be used."""
    given = os.environ.get("DAGSTER_HOME", "").strip()
    home = Path(given).expanduser() if given else settings.warehouse.parent / "dagster"
    if not home.is_absolute():
        raise UserError(f"DAGSTER_HOME: {given!r} is not an absolute path; write one such as {home.resolve()}")
    try:
        (home / "logs").mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").write_text(Template(TEMPLATE.read_text()).substitute(log=log_file(home)))
    except OSError as error:
        raise UserError(f"DAGSTER_HOME: {home} cannot be written: {error.strerror}") from error
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def log_file(home: Path) -> Path:
    """Everything Dagster and the steps say, of every run."""
    return home / "logs" / "runs.log"


@contextmanager
def history_kept_open(instance: DagsterInstance) -> Iterator[None]:
    """Keep the run history's SQLite files open for the length of the block, and what tables they have in mind.

    Dagster builds an engine, opens and closes the file five times an event, once of them to ask whether a table is
    there: with some thousand events (a model, a test) that took longer than the models. Same files, same statements;
    a power cut may cost the last events, not the file.
    """
    import sqlalchemy
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        yield
        return
    engines: dict[str, sqlalchemy.Engine] = {}
    connect_once, has_table = storage._connect, storage.has_table

    @contextmanager
    def connect(shard: str) -> Iterator[sqlalchemy.Connection]:
        if shard not in engines:
            with connect_once(shard):
                pass  # makes the file with its tables where it is new
            url, patience = storage.conn_string_for_shard(shard), {"timeout": 60}
            engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.QueuePool, connect_args=patience)
            sqlalchemy.event.listen(engine, "connect", lambda file, _: file.execute("pragma synchronous = normal"))
            engines[shard] = engine
        with storage._db_lock, engines[shard].begin() as connection:
            yield connection

    storage._connect, storage.has_table = connect, cache(has_table)
    try:
        yield
    finally:
        storage._connect, storage.has_table = connect_once, has_table
        for engine in engines.values():
            engine.dispose()
