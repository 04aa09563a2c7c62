"""`make bench-connectors`: what the API connectors pull and land in a second, beside what their emulated API gives at
most, and ten million records through one stream.

The ceiling is a bare client's: the requests that the connector made, one after the other, answers thrown away.
Connector, bare client and emulator are a process each; the two clients go by turns.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import duckdb

from benchmarks.__main__ import demo_files, megabytes, say
from benchmarks.emulators import NOW, tasks
from benchmarks.job import ROOT
from benchmarks.processes import CommandError, measure
from dagster_project.sources.salesforce.shapes import TABLES
from dagster_project.warehouse import connect, engine_settings, prepare

MEMORY_LIMIT = 1e9  # bytes, of the process that pulls and lands
BULK_ROWS, MANY_ROWS = 1_000_000, 10_000_000


@dataclass(frozen=True)
class Subject:
    """What is pulled.

    emulator: the API, as `benchmarks.emulators` calls it. of: the company's folder, or how many tasks. since: what a
    first load told, which is landed already; None for an empty warehouse.
    """

    name: str
    emulator: str
    of: str
    since: str | None = None

    @property
    def origin(self) -> str:
        return "salesforce" if self.emulator == "tasks" else self.emulator


@dataclass(frozen=True)
class Cost:
    """One pull, or its requests asked again. rows: read and landed. landing: seconds of the pull spent landing."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    requests: int
    rows: int = 0
    landing: float = 0.0


@dataclass(frozen=True)
class Figures:
    """Of one subject: rounds of the connector and of the bare client. differs: how what was landed is not what was
    served, nothing where it is."""

    subject: Subject
    pulls: list[Cost]
    bare: list[Cost]
    differs: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.connectors", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "bench", help="for files (default data/bench)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run, by turns (default 3)")
    parser.add_argument("--rows", type=int, default=MANY_ROWS, help=f"of the long stream (default {MANY_ROWS:,})")
    parser.add_argument("--only", default="", metavar="PATTERN", help="subjects whose name it is found in")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    subjects = [each for each in _subjects(folder, given.rows) if re.search(given.only, each.name)]
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="connectors-") as scratch:
            figures = [_figures(each, Path(scratch), given.rounds) for each in subjects]
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = "\n".join(_report(figures))
    (folder / "connectors.md").write_text(text + "\n")
    print(text)
    is_met = all(cost.peak_bytes < MEMORY_LIMIT for each in figures for cost in each.pulls)
    return 0 if is_met and not any(each.differs for each in figures) else 1


def _subjects(folder: Path, many: int) -> Iterator[Subject]:
    company = str(demo_files("default", folder))
    yield Subject("Salesforce by REST", "salesforce", company)
    yield Subject("HubSpot, first load: lists with histories", "hubspot", company)
    yield Subject("HubSpot, later: lists of deals, searches", "hubspot", company, since="2022-10-02T00:00:00")
    yield Subject("Gong, extensive calls", "gong", company)
    yield Subject("Salesforce in bulk", "tasks", str(BULK_ROWS))
    yield Subject("Salesforce in bulk, one long stream", "tasks", str(many))


def _figures(subject: Subject, scratch: Path, rounds: int) -> Figures:
    """Warm up with a pull that notes its requests, then take turns. A long stream is pulled and asked for once."""
    say(f"{subject.name}: {subject.of}" if subject.emulator == "tasks" else subject.name)
    first, warehouse, requests = scratch / "first.duckdb", scratch / "warehouse.duckdb", scratch / "requests.jsonl"
    is_long = subject.emulator == "tasks" and int(subject.of) > BULK_ROWS
    with _emulator(subject) as (settings, move_to), _made(first):
        environment = {name: text for name, text in os.environ.items() if not name.startswith("WAREHOUSE_")}
        environment |= settings | {"PYTHONPATH": str(ROOT)}

        def run(*arguments: str | Path) -> Cost:
            log = scratch / "child.log"
            took = measure([sys.executable, "-m", "benchmarks.pulling", *arguments], environment, log, is_shown=True)
            return Cost(peak_bytes=took.peak_bytes, **json.loads(log.read_text().splitlines()[-1]))

        def pull(into: Path) -> Cost:
            shutil.rmtree(into.with_name(into.name + ".pulls"), ignore_errors=True)
            return run("pull", subject.origin, into, requests)

        if subject.since:
            move_to(subject.since)
            pull(first)
            move_to(NOW.isoformat())
        pulls, bare, differs = [], [], ""
        for _ in range(1 if is_long else rounds + 1):
            with _made(warehouse, like=first):
                pulls.append(pull(warehouse))
                if subject.emulator == "tasks":
                    differs = differs or _difference(warehouse, int(subject.of))
            bare.append(run("ask", requests))
    warm = 0 if is_long else 1
    return Figures(subject, pulls[warm:], bare[warm:], differs)


@contextmanager
def _made(warehouse: Path, like: Path | None = None) -> Iterator[None]:
    """A warehouse for the length of the block: an empty one, or a copy."""
    if like:
        shutil.copy(like, warehouse)
    else:
        with connect(warehouse) as connection:
            prepare(connection)
    try:
        yield
    finally:
        warehouse.unlink()


@contextmanager
def _emulator(subject: Subject) -> Iterator[tuple[Mapping[str, str], Callable[[str], None]]]:
    """The settings that point a connector to it, and what moves its clock."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.emulators", subject.emulator, subject.of],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def move_to(clock: str) -> None:
        print(clock, file=process.stdin, flush=True)
        process.stdout.readline()

    try:
        told = process.stdout.readline()
        if not told:
            raise CommandError(f"the emulator of {subject.emulator} did not start")
        yield json.loads(told), move_to
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def _difference(warehouse: Path, rows: int) -> str:
    """How what stands in the warehouse differs from the tasks that were made up; nothing where it does not."""
    [table] = [table for table in TABLES if table.name == "task"]
    values = ", ".join(f'"{name}"::{kind}' for name, kind in table.columns.items())
    compared = f"select count(*), count(distinct Id), sum(hash({values})) from "
    limits = {"memory_limit": "2GB", "temp_directory": str(warehouse.with_suffix(".work"))}
    with duckdb.connect(str(warehouse), read_only=True, config=engine_settings() | limits) as connection:
        connection.execute("set TimeZone = 'UTC'")
        landed = connection.execute(f"{compared} {table.relation}").fetchone()
        served = connection.execute(f"{compared} ({tasks(0, rows, rows)})").fetchone()
    shutil.rmtree(limits["temp_directory"], ignore_errors=True)
    return "" if landed == served else f"landed {landed}, served {served}"


def _report(figures: Iterable[Figures]) -> Iterator[str]:
    """The figures as Markdown; medians of the rounds."""
    yield "| | rows | requests | seconds | of which landing | CPU seconds | rows/s | ceiling, rows/s | ratio | peak |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for each in figures:
        rows, requests = each.pulls[0].rows, each.pulls[0].requests
        seconds, landed, cpu = (_middle(each.pulls, name) for name in ("seconds", "landing", "cpu_seconds"))
        least, peak = _middle(each.bare, "seconds"), max(cost.peak_bytes for cost in each.pulls)
        yield (
            f"| {each.subject.name} | {rows:,} | {requests:,} | {seconds:.1f} | {landed:.1f} | {cpu:.1f} "
            f"| {rows / seconds:,.0f} | {rows / least:,.0f} | {least / seconds:.2f} | {megabytes(peak)} |"
        )
    yield ""
    yield f"Peak memory of the process; at most {megabytes(MEMORY_LIMIT)}. The ceiling is what a bare client gets."
    for each in figures:
        if each.subject.emulator == "tasks":
            yield f"{each.subject.name}: {each.differs or 'what was landed is what was served, by count and checksum'}"


def _middle(costs: Iterable[Cost], name: str) -> float:
    return median(getattr(cost, name) for cost in costs)


if __name__ == "__main__":
    sys.exit(main())
