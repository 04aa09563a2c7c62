"""One pull of the three APIs into a warehouse, without gate and marts; as a process, one that a test may kill."""

from __future__ import annotations

import sys
from pathlib import Path

from dagster_project.settings import Settings
from dagster_project.sources import landing
from dagster_project.sources.api import source
from dagster_project.sources.registry import open_sources
from dagster_project.warehouse import connect, prepare


def take(warehouse: Path) -> None:
    """Land what the APIs have now, and accept it."""
    settings = Settings(warehouse=warehouse, sources=("salesforce", "hubspot", "gong"))
    with connect(warehouse) as connection:
        prepare(connection)
        sources = open_sources(settings)
        landing.activate(connection, sources)
        for each in sources:
            landing.land(connection, each, say=lambda line: None)
        for load in landing.pending(connection):
            landing.judge(connection, load.schema, load.load_id, accepted=True)


if __name__ == "__main__":
    source.ROWS_PER_PART = 1  # a part a page: a kill finds every state that a longer pull goes through
    print("ready", flush=True)
    take(Path(sys.argv[1]))
