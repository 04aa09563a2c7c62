"""What every room of the graph shares: the warehouse, who owns what, the pool that keeps DuckDB to one writer.

Not here: what a step does with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import dagster as dg

from dagster_project.settings import Settings, UserError
from dagster_project.warehouse import connect, run_lock

POOL = "warehouse"  # DuckDB takes one writing process: everything that opens the file is in this pool

OWNERS = {
    "leading_indicators": "team:sales-operations",
    "lagging_indicators": "team:sales-operations",
    "hygiene": "team:sales-operations",
    "forecast": "team:revenue-forecasting",
    "team": "team:sales-management",
    "seeds": "team:sales-operations",
}
DEFAULT_OWNER = "team:data-platform"

# A daily run that fails once is a warning, one that fails twice is late.
DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=50), warn_window=timedelta(hours=26))


def owners(schema: str) -> list[str]:
    """Who answers for the tables of a schema, as Dagster writes owners."""
    return [OWNERS.get(schema, DEFAULT_OWNER)]


class Warehouse(dg.ConfigurableResource):
    """The warehouse of one run. The run lock is held from the run's start to its end, so a second run waits.

    Steps open the file, use it and close it again; the lock only keeps other runs out.
    """

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Warehouse]:
        purpose = f"{context.run.job_name} (run {context.run.run_id[:8]})" if context.run else "Dagster"
        with run_lock(self.settings.warehouse, purpose, say=context.log.info):
            yield self

    @property
    def settings(self) -> Settings:
        return Settings.from_environment()

    def connect(self, read_only: bool = False):
        return connect(self.settings.warehouse, read_only)


@contextmanager
def no_retry_for(*errors: type[Exception]) -> Iterator[None]:
    """Turn these errors into a step failure that no retry policy repeats; the text stays one line."""
    try:
        yield
    except errors as error:
        raise dg.Failure(str(error), allow_retries=False) from None


defs = dg.Definitions(resources={"warehouse": Warehouse()}, executor=dg.in_process_executor)

__all__ = ["DAILY", "POOL", "UserError", "Warehouse", "defs", "no_retry_for", "owners"]
