"""`make bench SIZE=medium`: the real job and the floor by turns on the same company, compared and told as a table.

The company's files are made before the clock starts and kept.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from statistics import median

from benchmarks import floor
from benchmarks.comparison import Compared, compare
from benchmarks.job import ROOT, Folder, Run
from benchmarks.processes import CommandError, Measured, measure

SIZES = {"small": "default"} | {size: size for size in ("tiny", "default", "medium", "large", "huge")}
SCHEMAS = ("core", "leading_indicators", "lagging_indicators", "hygiene", "forecast")
# What a run forecast depends on when it ran: a company that ran twice has forecast two locks, and was late for fewer.
FORECASTS = {"forecast.deals": "false", "forecast.model_rollup": "false",
             "lagging_indicators.forecast_accuracy": "method <> 'model'"}  # fmt: skip
OF_A_RUN = ("locked_at", "run_id", "inputs_fingerprint", "is_backfilled",
            "model_amount", "p10_amount", "p50_amount", "p90_amount")  # fmt: skip
STILL_TO_COME = 0.005  # share of all rows that the daily refresh brings

# What the project promises: of models to floor, of job to floor, bytes, of refresh to full build.
MODELS_LIMIT, JOB_LIMIT, MEMORY_LIMIT, REFRESH_LIMIT = 1.5, 3.0, 4e9, 0.5

Costs = dict[str, tuple[float, float]]  # wall and CPU seconds by what was made


@dataclass
class Figures:
    """What was measured of one size, by round."""

    size: str
    rows: int
    until: date
    runs: list[Run] = field(default_factory=list)
    models: list[Costs] = field(default_factory=list)
    floors: list[Measured] = field(default_factory=list)
    statements: list[Costs] = field(default_factory=list)
    tiny: list[Measured] = field(default_factory=list)
    refresh: Run | None = None
    to_floor: Compared | None = None
    to_refresh: Compared | None = None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("size", nargs="?", default="small", choices=SIZES)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run, by turns (default 3)")
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "bench", help="for files (default data/bench)")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        figures = take(SIZES[given.size], given.rounds, folder)
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = "\n".join(report(figures))
    (folder / f"{figures.size}.md").write_text(text + "\n")
    print(text)
    return 1 if figures.to_floor.differences or figures.to_refresh.differences else 0


def take(size: str, rounds: int, folder: Path) -> Figures:
    """Run everything in a folder. Raises CommandError where a run fails."""
    files, tiny = demo_files(size, folder), demo_files("tiny", folder)
    figures = Figures(size, *what_is_to_come(files))
    with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as scratch:
        scratch = Path(scratch)
        whole = scratch / "whole.duckdb"
        for number in range(1, rounds + 1):
            say(f"round {number} of {rounds}: the job, its models alone, the floor, the tiny company")
            job, least = Folder(scratch / "job", files.parent, size), scratch / "floor.duckdb"
            figures.runs.append(job.run())
            figures.models.append(job.models_alone(floor.tables()))
            take_floor(figures, files, least)
            if number == 1:
                figures.to_floor = compare(job.marts, least, SCHEMAS, is_partial=True, only=FORECASTS)
                shutil.copy(job.marts, whole)
            shutil.rmtree(job.folder)
            least.unlink()
            figures.tiny.append(Folder(scratch / f"tiny-{number}", tiny.parent, "tiny").run().measured)
        say(f"daily refresh: everything until {figures.until}, then the rest")
        daily = Folder(scratch / "daily", files.parent, size)
        daily.run(figures.until)
        figures.refresh = daily.run()
        figures.to_refresh = compare(whole, daily.marts, SCHEMAS, ignored=OF_A_RUN, only=FORECASTS)
    return figures


def take_floor(figures: Figures, files: Path, marts: Path) -> None:
    log = marts.with_suffix(".log")
    figures.floors.append(measure([sys.executable, floor.__file__, files, marts], os.environ, log))
    figures.statements.append(json.loads(log.read_text().splitlines()[-1]))


def demo_files(size: str, folder: Path) -> Path:
    """The files of a demo company, simulated if they are not there yet."""
    from dagster_project.sources.demo import DemoSource

    return DemoSource(size, 42, cache=folder / "demo").prepare()


def what_is_to_come(files: Path) -> tuple[int, date]:
    """How many rows there are, and the last day by which all but the wanted share of them had arrived."""
    import duckdb

    days = duckdb.sql(
        f"""
        select cast(_extracted_at as date) as day, count(*) as rows
        from read_parquet('{files}/raw_*.parquet', union_by_name = true) group by day order by day desc
        """
    ).fetchall()
    rows, later = sum(count for _, count in days), 0
    for (_, count), (day_before, _) in pairwise(days):
        later += count
        if later >= STILL_TO_COME * rows:
            return rows, day_before
    return rows, days[-1][0]


def report(figures: Figures) -> Iterator[str]:
    """The figures as Markdown; medians of the rounds."""
    rounds = len(figures.runs)
    whole, least = (middle(each) for each in ([run.measured for run in figures.runs], figures.floors))
    start_up = middle(figures.tiny)
    models, statements = (
        tuple(median(sum(cost[clock] for cost in costs.values()) for costs in rounds) for clock in (0, 1))
        for rounds in (figures.models, figures.statements)
    )
    refresh = figures.refresh.measured
    peak = max(run.measured.peak_bytes for run in figures.runs)
    yield f"# {figures.size}: {figures.rows:,} rows, {rounds} round{'s' * (rounds > 1)}, {os.cpu_count()} cores"
    yield ""
    yield "| step of the job | rows | seconds | peak memory |"
    yield "|---|--:|--:|--:|"
    for place, step in enumerate(figures.runs[0].steps):
        same = [run.steps[place] for run in figures.runs]
        memory = max(each.peak_bytes for each in same)
        yield f"| {step.name} | {step.rows:,} | {median(each.seconds for each in same):.1f} | {megabytes(memory)} |"
    yield f"| whole, with {start_up[0]:.1f} s start-up | {figures.rows:,} | {whole[0]:.1f} | {megabytes(peak)} |"
    yield ""
    yield "Start-up is the whole job on the `tiny` company: what does not grow with the data."
    yield ""
    yield "| seconds | job | floor | ratio | at most | CPU: job | floor | ratio |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    yield against("SQL (the models one after another, nothing beside them)", models, statements, MODELS_LIMIT)
    yield against("whole (less start-up)", [whole[clock] - start_up[clock] for clock in (0, 1)], least, JOB_LIMIT)
    share = f"daily refresh ({STILL_TO_COME:.1%} new) to full build"
    yield against(share, (refresh.seconds, refresh.cpu_seconds), whole, REFRESH_LIMIT)
    floor_peak = max(each.peak_bytes for each in figures.floors)
    yield ""
    yield f"Peak memory {megabytes(peak)}, of the floor {megabytes(floor_peak)}; at most {megabytes(MEMORY_LIMIT)}."
    yield ""
    yield "| dearest models | CPU seconds alone | seconds alone | seconds in the job |"
    yield "|---|--:|--:|--:|"
    yield from dearest(figures)
    yield ""
    yield "| dearest statements of the floor | CPU seconds | seconds |"
    yield "|---|--:|--:|"
    for name, (seconds, cpu) in sorted(figures.statements[0].items(), key=lambda item: -item[1][1])[:12]:
        yield f"| {name} | {cpu:.2f} | {seconds:.2f} |"
    yield ""
    yield from told("job and floor", figures.to_floor)
    yield from told("full build and daily refresh", figures.to_refresh)


def middle(measured: Iterable[Measured]) -> tuple[float, float]:
    """Medians of wall and of CPU seconds."""
    measured = list(measured)
    return median(each.seconds for each in measured), median(each.cpu_seconds for each in measured)


def against(what: str, ours: Iterable[float], theirs: Iterable[float], limit: float) -> str:
    (wall, cpu), (least, least_cpu) = ours, theirs
    figures = f"{wall:.1f} | {least:.1f} | {wall / least:.2f} | {limit} | {cpu:.1f} | {least_cpu:.1f}"
    return f"| {what} | {figures} | {cpu / least_cpu:.2f} |"


def dearest(figures: Figures, count: int = 15) -> Iterator[str]:
    in_job = {name: seconds for step in figures.runs[0].steps for name, seconds in step.model_seconds.items()}
    names = figures.models[0]
    wall, cpu = ({name: median(each[name][clock] for each in figures.models) for name in names} for clock in (0, 1))
    for name in sorted(cpu, key=cpu.get, reverse=True)[:count]:
        yield f"| {name} | {cpu[name]:.2f} | {wall[name]:.2f} | {in_job.get(name, 0):.2f} |"


def told(which: str, compared: Compared) -> Iterator[str]:
    """Whether the tables agree, and where they do not."""
    rows = sum(compared.rows.values())
    state = "they differ:" if compared.differences else "all equal"
    missing = f"; only in the job: {', '.join(compared.missing)}" if compared.missing else ""
    yield f"{which}: {len(compared.rows)} tables, {rows:,} rows, {state}{missing}"
    for difference in compared.differences:
        yield f"  {difference.table}: {difference.what}"
        yield from (f"    {example}" for example in difference.examples)


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
