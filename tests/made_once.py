"""What takes long to make and several test processes look at: one makes it, the others wait and take a copy."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from dagster_project.dbt_build import Dbt
from dagster_project.settings import PROJECT_ROOT

PARSED_FOR = PROJECT_ROOT / ".pytest_cache" / "parsed" / "warehouse.duckdb"


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of this process's own with what `make` put into it, in this process or in another one."""
    mine = factory.getbasetemp()
    ours = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    made, done = ours / f"made-{name}", ours / f"made-{name}.done"
    with (ours / f"made-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            make(made)
            done.touch()
    return Path(shutil.copytree(made, mine / name, symlinks=True))


def give_parsed(folder: Path) -> None:
    """Put what dbt made of the project beside the warehouse that this folder will hold, unless something is there.

    To parse all its files takes longer than most tests. It is kept between runs; dbt itself looks for what changed.
    """
    if not (folder / "dbt").exists():
        shutil.copytree(_parsed(), folder / "dbt")


@cache
def _parsed() -> Path:
    dbt = Dbt(PARSED_FOR)
    assert dbt.manifest  # while it is parsed other processes wait for it
    return dbt.target
