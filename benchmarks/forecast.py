"""`make bench-forecast`: what the model is worth on the demo company at three seeds, and what it costs on one many
times as large: the demo company's locks copied, each copy with reps, teams and deals of its own. Copying is not
measured.

Not here: what the figures must be (`dagster_project/forecast/telling.py` holds the targets).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.job import ROOT, Folder
from benchmarks.processes import measure
from dagster_project import warehouse
from dagster_project.forecast import SEED, backtest, scoring, shapes, telling
from dagster_project.forecast.rolling import Past

SEEDS = (42, 1, 2)
OPEN_DEALS, DEALS = 50_000, 1_000_000  # scored at one lock; looked back on, each at every lock at which it was open

# Table to its columns that carry a copy's number.
COPIED = {
    "forecast.locked_inputs": ("opportunity_id", "rep_id", "team"),
    "forecast.locked_calls": ("rep_id", "team"),
    "forecast.locked_progress": ("rep_id", "team"),
    "intermediate.int_forecasts_made": ("rep_id", "team"),
    "intermediate.int_rep_attributes": ("rep_id", "team"),
    "core.fct_opportunity_states": ("opportunity_id", "rep_id"),
    "core.fct_closings": ("opportunity_id", "rep_id"),
    "core.dim_reps": ("rep_id", "team"),
}
AS_THEY_ARE = ("forecast.locks", "intermediate.int_locks", "ops.company")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecast", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "bench", help="for files (default data/bench)")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--cost", nargs=2, metavar=("WHAT", "WAREHOUSE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cost:
        what, path = given.cost
        with warehouse.connect(path) as connection:
            print(json.dumps(COSTS[what](connection)))
        return 0
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="forecast-") as scratch:
        lines, is_met = _report(Path(scratch), folder / "demo", given.seeds)
    text = "\n".join(lines)
    (folder / "forecast.md").write_text(text + "\n")
    print(text)
    return 0 if is_met else 1


def _report(scratch: Path, demo: Path, seeds: list[int]) -> tuple[list[str], bool]:
    demo.mkdir(exist_ok=True)
    companies, lines = [], []
    for seed in seeds:
        company = Folder(scratch / str(seed), demo, "default")
        company.environment["WAREHOUSE_DEMO_SEED"] = str(seed)
        company.run()
        command = [sys.executable, "-m", "dagster_project", "backtest"]
        took = measure(command, company.environment, company.folder / "backtest.log")
        lines.append(f"backtest of seed {seed}: {took.seconds:.0f} s, {took.cpu_seconds:.0f} s of CPU time")
        companies.append(company)
    marts = [company.marts for company in companies]
    one = companies[0].folder / "warehouse.duckdb"
    lines += [_cost(what, one, scratch) for what in COSTS]
    return [*lines, "", telling.tell(*marts)], not telling.quality(marts).missed()


def _cost(what: str, one: Path, scratch: Path) -> str:
    """What it costs on many copies of this company, in a process that does nothing else."""
    many = scratch / "many.duckdb"
    _multiply(one, many, _copies(one, what), only_newest=what == "score")
    command = [sys.executable, "-m", "benchmarks.forecast", "--cost", what, many]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "WAREHOUSE_MEMORY": "2GB"}
    took = measure(command, environment, scratch / "cost.log")
    many.unlink()
    found = json.loads((scratch / "cost.log").read_text().splitlines()[-1])
    told = ", ".join(f"{name} {value:,.1f}" if isinstance(value, float) else f"{name} {value:,}"
                     for name, value in found.items())  # fmt: skip
    return f"{what}: {told}; at most {took.peak_bytes / 1e9:.1f} GB"


def _copies(one: Path, what: str) -> int:
    """How many copies of the company make the wanted size."""
    with duckdb.connect(str(one), read_only=True) as connection:
        deals, newest = connection.execute(
            """
            select count(distinct opportunity_id), count(*) filter (lock_date = newest and not is_held_out)
            from forecast.locked_inputs cross join (select max(lock_date) as newest from forecast.locks)
            """
        ).fetchone()
    return -(-OPEN_DEALS // newest) if what == "score" else -(-DEALS // deals)


def _multiply(one: Path, many: Path, copies: int, only_newest: bool) -> None:
    """Write the company so many times over (of all but the first only the open deals of the newest lock) into a new
    file, with nothing forecast yet."""
    with duckdb.connect(str(many)) as connection:
        connection.execute("set memory_limit = '2GB'; set threads = 2")
        connection.execute(f"attach '{one}' as one (read_only)")
        for schema in ("forecast", "intermediate", "core", "ops", "archive"):
            connection.execute(f"create schema {schema}")
        for table, columns in COPIED.items():
            numbered = ", ".join(f"{name} || '#' || copy as {name}" for name in columns)
            own = "copy = 0" if only_newest else "true"
            if table == "forecast.locked_inputs":
                own += " or lock_date = (select max(lock_date) from one.forecast.locks)"
            connection.execute(
                f"create table {table} as select t.* replace ({numbered}) "
                f"from one.{table} as t, range({copies}) as c(copy) where {own}"
            )
        for table in AS_THEY_ARE:
            connection.execute(f"create table {table} as from one.{table}")
        for relation, (columns, _) in shapes.shapes().items():
            listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            connection.execute(f"create table {relation} ({listed})")


def _score(connection: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """Forecast the newest lock twice: with all that must be learned first, and with that learned."""
    [newest] = connection.execute("select max(lock_date) from forecast.locks").fetchone()
    past, seconds, cpu_seconds = Past(), [], []
    for _ in range(2):
        started, cpu_started = time.perf_counter(), time.process_time()
        [forecast] = scoring.score(connection, [newest], SEED, past)
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(time.process_time() - cpu_started)
    return {
        "open deals": len(forecast.deals), "seconds": seconds[1], "CPU seconds": cpu_seconds[1],
        "seconds with learning": seconds[0], "CPU seconds with learning": cpu_seconds[0],
    }  # fmt: skip


def _look_back(connection: duckdb.DuckDBPyConnection) -> dict[str, float]:
    [deals, rows] = connection.execute(
        "select count(distinct opportunity_id), count(*) from forecast.locked_inputs"
    ).fetchone()
    started, cpu_started = time.perf_counter(), time.process_time()
    backtest.renew(connection, SEED)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return {"deals": deals, "deals at locks": rows, "seconds": seconds, "CPU seconds": cpu_seconds}


COSTS = {"score": _score, "backtest": _look_back}

if __name__ == "__main__":
    sys.exit(main())
