"""A pull that is killed, wherever it stood, is taken up by the next run, which lands what an undisturbed one lands.

FAULT_KILLS says how many, as for `test_kills.py`. The killed run is a process of its own; what takes it up is not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from benchmarks.comparison import compare
from dagster_project.settings import PROJECT_ROOT
from dagster_project.sources.demo import DemoSource
from dagster_project.warehouse import connect
from tests.faults.pulling import take
from tests.faults.runs import WHEN_IT_RAN
from tests.faults.test_kills import KILLS, moment
from tests.sources.live import Live, emulated

FIRST, SECOND = datetime(2024, 8, 20, 23, 59, 59), datetime(2024, 9, 10, 23, 59, 59)
RAW = ("raw_salesforce", "raw_hubspot", "raw_gong")


def killed_after(seconds: float, warehouse: Path) -> bool:
    """Start a run and kill it so long after it began to pull; False where it had ended before."""
    command = [sys.executable, "-m", "tests.faults.pulling", str(warehouse)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    process = subprocess.Popen(
        command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()
    return process.wait() == -signal.SIGKILL


@dataclass(frozen=True)
class Undisturbed:
    live: Live
    warehouses: tuple[Path, Path]  # after the first pull, and after the second
    seconds: tuple[float, float]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    company = DemoSource("tiny", 42, cache=folder / "demo").prepare()
    with emulated(company) as live, pytest.MonkeyPatch.context() as patched:
        for name, value in live.environment.items():
            patched.setenv(name, value)
        warehouses, seconds = [], []
        for clock in (FIRST, SECOND):
            live.move_to(clock)
            path = folder / f"{clock:%Y-%m}" / "warehouse.duckdb"
            path.parent.mkdir()
            if warehouses:
                path.write_bytes(warehouses[-1].read_bytes())
            started = time.monotonic()
            take(path)
            seconds.append(time.monotonic() - started)
            warehouses.append(path)
        yield Undisturbed(live, tuple(warehouses), tuple(seconds))


@pytest.mark.parametrize("number", range(KILLS), ids=lambda number: f"{moment(number):.0%}")
def test_killed_pull_is_taken_up_by_the_next(number, undisturbed, tmp_path):
    """By turns a first pull and one of what changed."""
    is_second = number % 2
    undisturbed.live.move_to((FIRST, SECOND)[is_second])
    warehouse = tmp_path / "warehouse.duckdb"
    if is_second:
        warehouse.write_bytes(undisturbed.warehouses[0].read_bytes())
    killed_after(moment(number) * undisturbed.seconds[is_second] * 2, warehouse)
    take(warehouse)
    compared = compare(warehouse, undisturbed.warehouses[is_second], RAW, ignored=WHEN_IT_RAN)
    assert [each for each in compared.differences if not each.table.endswith(".loads")] == []
    if number > 1:
        return
    take(warehouse)
    with connect(warehouse) as connection:
        landed = " union all ".join(
            f"select load_id, rows_landed + rows_deleted as rows from {raw}.loads" for raw in RAW
        )
        query = f"select sum(rows) from ({landed}) group by load_id order by load_id desc limit 3"
        assert {rows for (rows,) in connection.execute(query).fetchall()} == {0}, "a pull of nothing new lands nothing"
