"""When things run: jobs, their schedules, the watch over the files folder, and what is told when a run fails.

Every job ends in a publication, and a release is always the complete set built from the same loads; so the jobs select
the same assets and differ in when they run and in what their place in the run history says.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import dagster as dg

from dagster_project import status
from dagster_project.dbt_build import company_settings
from dagster_project.defs.forecast import FOUND
from dagster_project.settings import Settings

COMPANY = company_settings()
TIMEZONE = COMPANY["business_timezone"]

BEFORE_THE_WORKING_DAY = "0 5 * * *"
AFTER_THE_WEEK_CLOSED = f"0 6 * * {COMPANY['week_start_day'] % 7}"  # cron counts Sunday as 0, the setting as 7
AFTER_THE_MONTH_CLOSED = "0 7 1 * *"

LOOK_EVERY_SECONDS = 30
SETTLED_AFTER_SECONDS = 10  # an export still being copied keeps changing; one left alone this long is whole


@dg.failure_hook(required_resource_keys={"warehouse"})
def tell_what_failed(context: dg.HookContext) -> None:
    """Write the status page of a run that ended early, so that readers see why what is published is old."""
    settings = context.resources.warehouse.settings
    status.write_failure(settings, context.run_id, context.step_key, str(context.op_exception))


# What past forecasts were worth changes with quarters, not with days: a job of its own, started by `make backtest`.
LOOKS_BACK = dg.AssetSelection.assets(*(["archive", name] for name in FOUND))


def _job(name: str, about: str):
    return dg.define_asset_job(name, dg.AssetSelection.all() - LOOKS_BACK, description=about, hooks={tell_what_failed})


daily_refresh = _job(
    "daily_refresh", "Land what changed, rebuild, judge, forecast and publish: everything, before the working day."
)
weekly_forecast_lock = _job(
    "weekly_forecast_lock",
    "The same, first thing after the week closed: the forecast's inputs are locked at its last instant.",
)
monthly_people_review = _job(
    "monthly_people_review", "The same after the month closed, for the talks about scorecards, ramp, quotas and pay."
)

backtest = dg.define_asset_job(
    "backtest",
    LOOKS_BACK | LOOKS_BACK.downstream() & dg.AssetSelection.groups("forecast", "lagging_indicators", "published"),
    description="Forecast every past lock from what was known there, hold it against what came, and publish that.",
    hooks={tell_what_failed},
)

SCHEDULES = [
    dg.ScheduleDefinition(
        job=job, cron_schedule=cron, execution_timezone=TIMEZONE, default_status=dg.DefaultScheduleStatus.RUNNING
    )
    for job, cron in (
        (daily_refresh, BEFORE_THE_WORKING_DAY),
        (weekly_forecast_lock, AFTER_THE_WEEK_CLOSED),
        (monthly_people_review, AFTER_THE_MONTH_CLOSED),
    )
]


@dataclass(frozen=True)
class Watch:
    """What the sensor remembers: the files a run was asked for (`taken`: name to stamp and content), how many times it
    asked, and since when the folder has looked as it does (`stamps`: name to modification time and size)."""

    taken: Mapping[str, list] = field(default_factory=dict)
    changes: int = 0
    stamps: Mapping[str, list] = field(default_factory=dict)
    since: float = 0.0


def look(folder: Path, watch: Watch, now: float) -> tuple[Watch, str | None]:
    """The watch after a look at the folder at `now` (seconds), and why no run is asked for; None where one is."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    stamps = {str(path.relative_to(folder)): [path.stat().st_mtime_ns, path.stat().st_size] for path in files}
    if stamps == {name: [mtime, size] for name, (mtime, size, _) in watch.taken.items()}:
        return watch, "no file changed"
    if stamps != watch.stamps:
        return Watch(watch.taken, watch.changes, stamps, now), "files changed; waiting until they are whole"
    if now - watch.since < SETTLED_AFTER_SECONDS:
        return watch, "files changed; waiting until they are whole"
    taken = {name: [*stamp, _content(folder / name)] for name, stamp in stamps.items()}
    if {n: t[2] for n, t in taken.items()} == {n: t[2] for n, t in watch.taken.items()}:
        return Watch(taken, watch.changes, stamps, watch.since), "files were touched; their content is the same"
    return Watch(taken, watch.changes + 1, stamps, watch.since), None


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dg.sensor(
    job=daily_refresh,
    minimum_interval_seconds=LOOK_EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs daily_refresh when a file under WAREHOUSE_FILES changed in content and is whole.",
)
def new_files(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    settings = Settings.from_environment()
    if "files" not in settings.sources:
        return dg.SkipReason("the files source is off: WAREHOUSE_SOURCES does not name it")
    before = Watch(**json.loads(context.cursor)) if context.cursor else Watch()
    watch, reason = look(settings.files, before, time.time())
    cursor = json.dumps(asdict(watch))
    if reason:
        return dg.SensorResult(skip_reason=reason, cursor=cursor)
    digest = hashlib.sha256(json.dumps(watch.taken).encode()).hexdigest()[:12]
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"files-{watch.changes}-{digest}")], cursor=cursor)


defs = dg.Definitions(
    jobs=[daily_refresh, weekly_forecast_lock, monthly_people_review, backtest],
    schedules=SCHEDULES,
    sensors=[new_files],
)
