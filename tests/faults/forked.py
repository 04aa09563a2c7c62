"""The real command in a process of its own, forked from one that has read the libraries: a quarter of a tiny run.

What the command does with them, it does anew: no module of the project is read before the fork.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

LIBRARIES = (
    "dagster", "dagster_dbt", "dagster._core.storage.event_log.sqlite.sqlite_event_log", "dbt.cli.main",
    "dbt.adapters.duckdb.impl", "dbt.task.build", "great_expectations", "altair", "pandas", "pyarrow.parquet",
    "scipy.optimize", "scipy.sparse",
)  # fmt: skip
OUTPUTS = ("out", "err")

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(list(LIBRARIES))


class Forked:
    """`python -m dagster_project` with these arguments, in this environment and folder, head of its process group."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path) -> None:
        self._told = tempfile.TemporaryDirectory(prefix="told-")
        for name in OUTPUTS:
            (Path(self._told.name) / name).touch()
        given = (arguments, dict(environment), str(folder), self._told.name)
        self._process = _FORKS.Process(target=_become_the_command, args=given)
        self._process.start()

    def ended_within(self, seconds: float) -> bool:
        self._process.join(seconds)
        return not self._process.is_alive()

    def end(self) -> tuple[int, str, str]:
        """Kill it, where it has not ended, and all it started, at once. Returns its exit code and what it wrote."""
        pid = self._process.pid
        with suppress(ProcessLookupError):  # it ends just now
            while self._process.is_alive() and os.getpgid(pid) != pid:
                time.sleep(0.001)  # it has only just been forked
            if self._process.is_alive():
                os.killpg(pid, signal.SIGKILL)
        self._process.join()
        with self._told:
            return self._process.exitcode, *((Path(self._told.name) / name).read_text() for name in OUTPUTS)


def _become_the_command(arguments: tuple[str, ...], environment: Mapping[str, str], folder: str, told: str) -> None:
    os.setsid()
    for number, name in enumerate(OUTPUTS, start=1):
        os.dup2(os.open(Path(told) / name, os.O_WRONLY), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["dagster_project", *arguments]
    runpy.run_module("dagster_project", run_name="__main__", alter_sys=True)
