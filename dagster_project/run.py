"""One run of a job in this process, told as it goes: a line a step, then what was built and what to look at next.

Not here: what a step does (`defs/`).
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from dagster_project.instance import dagster_home, history_kept_open, log_file
from dagster_project.publishing import DATABASE, current_marts
from dagster_project.report import PAGE
from dagster_project.settings import Settings, UserError
from dagster_project.warehouse import run_lock

if TYPE_CHECKING:
    import dagster as dg

# The run's events go to the log file and to the story below, not to the screen.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

FIGURES = """
select
    r.fiscal_quarter,
    r.lock_date,
    r.won_amount,
    r.quota_amount,
    greatest(r.quota_amount - r.won_amount, 0),
    w.ending_amount,
    w.ending_amount / nullif(greatest(r.quota_amount - r.won_amount, 0), 0),
    r.commit_called_amount,
    r.commit_amount,
    r.commit_evidenced_amount,
    r.forecast_amount,
    r.model_amount,
    r.p10_amount,
    r.p90_amount
from forecast.rollup as r
left join leading_indicators.weekly_pipeline_waterfall as w
    on w.level = r.level and w.week_end_date = r.lock_date and w.target_fiscal_quarter = r.fiscal_quarter
where r.level = 'company'
order by r.lock_date desc
limit 1
"""


def run_job(settings: Settings, name: str, *, full_refresh: bool = False) -> int:
    """Run a job; 0 when it published, 1 when it was held back or failed. UserError before anything is touched."""
    from dagster_project.sources.registry import open_sources

    open_sources(settings)
    with run_lock(settings.warehouse, name):
        home = dagster_home(settings)
        try:
            return _run(settings, name, full_refresh, log_file(home))
        except UserError:
            raise
        except Exception as error:
            print(f"error: {_logged(error, log_file(home))}", file=sys.stderr)
            return 1


def _logged(error: Exception, log: Path) -> str:
    """The error in one line; the whole of it goes to the log, as far as the disk takes it."""
    with suppress(OSError), log.open("a") as file:
        traceback.print_exc(file=file)
    text = " ".join(str(error).split())
    if "disk is full" in text or "No space left on device" in text:  # as SQLite and as the system say it
        return f"the disk of {log.parent.parent} is full; free some space and run again"
    return f"{type(error).__name__}: {text}; full log: {log}"


def _run(settings: Settings, name: str, full_refresh: bool, log: Path) -> int:
    _say(f"{name}: {', '.join(settings.sources)} → {settings.warehouse}")
    warnings.filterwarnings("ignore", module="dagster|dbt|great_expectations")
    import dagster as dg

    from dagster_project.definitions import defs
    from dagster_project.defs.transform import FULL_REFRESH_TAG

    story, run_id = Story(), str(uuid4())
    with dg.DagsterInstance.get() as instance, history_kept_open(instance):
        instance.add_event_listener(run_id, story.hear)
        result = defs.resolve_job_def(name).execute_in_process(
            instance=instance,
            run_id=run_id,
            run_config=QUIET,
            tags={FULL_REFRESH_TAG: "true"} if full_refresh else {},
            raise_on_error=False,
        )
    page = settings.published / "status" / "index.html"
    if not result.success:
        print("\n".join(["", *story.failures, f"Status page  {page}", f"Full log     {log}"]), file=sys.stderr)
        return 1
    _say("\n".join(["", *story.totals(), *_figures(settings), *_next(settings, run_id, page)]))
    return 0


@dataclass
class Story:
    """What a run's events add up to. Listens to the instance; prints one line a step."""

    tables: dict[tuple[str, ...], int | None] = field(default_factory=dict)  # asset to its rows, None for a view
    arrived: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))  # origin to rows read, landed …
    failures: list[str] = field(default_factory=list)
    step: Counter = field(default_factory=Counter)

    def hear(self, entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None:
            return
        kind = event.event_type_value
        if kind == "STEP_START":
            self.step = Counter()
            _say(f"  {event.step_key.removeprefix('intermediate__'):<16}", end="")
        elif kind == "ASSET_MATERIALIZATION":
            self._built(event.materialization)
        elif kind == "ASSET_CHECK_EVALUATION":
            self._checked(event.asset_check_evaluation_data)
        elif kind == "STEP_SUCCESS":
            _say(f"{self._step_line():<76}{event.event_specific_data.duration_ms / 1000:>7.1f} s")
        elif kind == "STEP_UP_FOR_RETRY":
            _say("failed for now, is tried again")
        elif kind == "STEP_FAILURE":
            _say(f"FAILED  {self._step_line()}")
            self._failed(event)
        elif kind == "PIPELINE_FAILURE" and not self.failures and event.job_failure_data.error:
            error = event.job_failure_data.error
            self.failures.append(f"failed: {' '.join((error.cause or error).message.split())}")

    def _built(self, materialization: dg.AssetMaterialization) -> None:
        key = tuple(materialization.asset_key.path)
        facts = {name: value.value for name, value in materialization.metadata.items()}
        rows = facts.get("dagster/row_count")
        self.tables[key] = rows
        self.step["tables"] += 1
        self.step["rows"] += rows or 0
        for count in ("rows_read", "rows_landed", "rows_rejected"):
            if count in facts:
                self.arrived[facts["origin"]][count] += facts[count]
                self.step[count] += facts[count]

    def _checked(self, check: dg.AssetCheckEvaluation) -> None:
        is_error = not check.passed and check.severity.value == "ERROR"
        self.step["passed" if check.passed else "failed" if is_error else "warned"] += 1
        if is_error and "reason" in check.metadata:
            facts = {name: value.value for name, value in check.metadata.items()}
            behind = f"{facts['rows_failed_count']:,} rows, {facts['failed_amount_base']:,.2f} behind them"
            table = ".".join(check.asset_key.path)
            self.failures.append(f"held back: {table} {check.check_name}: {facts['reason']} ({behind})")

    def _failed(self, event: dg.DagsterEvent) -> None:
        failure = event.step_failure_data
        if failure.user_failure_data and failure.user_failure_data.description:
            self.failures += [f"failed: {line}" for line in failure.user_failure_data.description.splitlines()]
        elif failure.error.cls_name != "DagsterAssetCheckFailedError":  # told check by check
            error = failure.error.cause or failure.error
            self.failures.append(f"failed: {event.step_key}: {' '.join(error.message.split())}")

    def _step_line(self) -> str:
        count = self.step
        if "rows_read" in count:
            return _arrived(count)
        parts = [f"{count['tables']:,} tables, {count['rows']:,} rows"] if count["rows"] else []
        words = {"passed": "passed", "warned": "of note", "failed": "failed"}
        checks = [f"{count[word]:,} {text}" for word, text in words.items() if count[word]]
        return "; ".join(parts + ([f"checks: {', '.join(checks)}"] if checks else []))

    def totals(self) -> list[str]:
        """Tables and rows by schema, rows by source."""
        built = []
        for schema in sorted({schema for schema, _ in self.tables}):
            rows = [count for (place, _), count in self.tables.items() if place == schema]
            if any(count is not None for count in rows):
                built.append(f"  {schema:<22}{len(rows):>4} tables{sum(filter(None, rows)):>14,} rows")
            elif schema != "published":
                built.append(f"  {schema:<22}{len(rows):>4} views")
        arrived = [f"  {origin:<22}{_arrived(count)}" for origin, count in sorted(self.arrived.items())]
        return ["Built", *built, "", "Arrived", *arrived, ""]


def _say(text: str, end: str = "\n") -> None:
    """Print; a reader that went away (`make run | head`) does not end the run."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def _arrived(count: Counter) -> str:
    return f"{count['rows_read']:,} rows read, {count['rows_landed']:,} new, {count['rows_rejected']:,} rejected"


def _figures(settings: Settings) -> list[str]:
    """The three numbers a sales manager asks for first, from what is published."""
    import duckdb

    with duckdb.connect(str(current_marts(settings)), read_only=True) as connection:
        row = connection.execute(FIGURES).fetchone()
    if row is None:
        return ["No deal is open or won in the quarter of the lock, so there is nothing to forecast", ""]
    quarter, lock, won, quota, gap, open_amount, coverage, called, commit, evidenced, weighted, model, low, high = row
    covers = f", {coverage:.1f} times what is to go" if coverage else ""
    if model is None:
        forecast = f"{_money(weighted)} by the CRM's probabilities"
    else:
        forecast = f"{_money(model)} by the model, {_money(low)} to {_money(high)} in eight cases of ten"
    backed = f"; of {_money(commit)} open commit, {_money(evidenced)} rests on evidence" if commit else ""
    return [
        f"{quarter}, as of the lock of {lock}",
        f"  won                   {_money(won)}" + (f" of {_money(quota)} quota, {_money(gap)} to go" if quota else ""),
        f"  open, closing in it   {_money(open_amount)}{covers}",
        f"  forecast              {forecast}",
        f"  called by the reps    {_money(called)}{backed}",
        "",
    ]


def _money(amount: Decimal | None) -> str:
    return "no" if amount is None else f"{amount:,.0f}"


def _next(settings: Settings, run_id: str, page: Path) -> list[str]:
    return [
        f"Published     {settings.published / 'current' / DATABASE}",
        f"Report        {settings.published / 'current' / PAGE}",
        f"Status page   {page}",
        f"Run page      http://127.0.0.1:3000/runs/{run_id} (make dev)",
        "",
        "Next          make sql Q=\"select * from forecast.rollup where level = 'team'\"",
        "              make status     what is published, what is held back and why",
        "              make dev        graph, run history, schedules",
    ]
