"""The command line: run the pipeline, look at what it published, start Dagster's webserver and daemon.

A user's mistake is one line on stderr and exit code 2, a run that was held back or failed is exit code 1. Imports are
lazy: help and a mistake answer at once. What happens in a run stands in `defs/`, how it is told in `run.py`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dagster_project.settings import PROJECT_ROOT, Settings, UserError

JOBS = ("daily_refresh", "weekly_forecast_lock", "monthly_people_review")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.command(parsed, Settings.from_environment())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(given: argparse.Namespace, settings: Settings) -> int:
    from dagster_project.run import run_job

    return run_job(settings, given.job, full_refresh=given.full_refresh)


def _backtest(given: argparse.Namespace, settings: Settings) -> int:
    from dagster_project.forecast.telling import tell
    from dagster_project.publishing import current_marts
    from dagster_project.run import run_job

    current_marts(settings)  # a backtest looks back on what a run has locked
    code = run_job(settings, "backtest")
    if code == 0:
        print(tell(current_marts(settings)))
    return code


def _sql(given: argparse.Namespace, settings: Settings) -> int:
    import duckdb

    from dagster_project.publishing import current_marts

    with duckdb.connect(str(current_marts(settings)), read_only=True) as connection:
        try:
            connection.execute("set TimeZone = 'UTC'")
            result = connection.sql(given.query)
        except duckdb.Error as error:
            raise UserError(" ".join(str(error).split("\n\n")[0].split())) from None
        if result is not None:
            result.show(max_rows=100, max_width=_terminal_width())
    return 0


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size((160, 50)).columns


def _worklist(given: argparse.Namespace, settings: Settings) -> int:
    from dagster_project.dbt_build import company_settings
    from dagster_project.worklist import write

    folder = Path(given.to).expanduser().resolve() if given.to else None
    print(write(settings, folder, company_settings()["base_currency"]))
    return 0


def _report(given: argparse.Namespace, settings: Settings) -> int:
    from dagster_project.dbt_build import company_settings
    from dagster_project.report import write

    folder = Path(given.to).expanduser().resolve() if given.to else None
    print(write(settings, folder, company_settings()["base_currency"]))
    return 0


def _rollback(given: argparse.Namespace, settings: Settings) -> int:
    from dagster_project.publishing import roll_back

    print(f"published: {roll_back(settings, given.release)}")
    return 0


def _status(given: argparse.Namespace, settings: Settings) -> int:
    from dagster_project.status import tell

    print(tell(settings))
    return 0


def _glossary(given: argparse.Namespace, settings: Settings) -> int:
    from dagster_project.dbt_build import DbtError, dbt_for
    from dagster_project.glossary import write

    try:
        print(write(dbt_for(settings.warehouse).manifest))
    except DbtError as error:
        raise UserError(str(error)) from None
    return 0


def _erase(given: argparse.Namespace, settings: Settings) -> int:
    from dagster_project.sources.erasure import erase_person
    from dagster_project.sources.registry import pulls
    from dagster_project.warehouse import connect, run_lock

    with run_lock(settings.warehouse, "erase"), connect(settings.warehouse) as connection:
        erased = erase_person(connection, given.email)
        shutil.rmtree(pulls(settings), ignore_errors=True)  # the last pull may hold the person, too
    print(f"{erased}; now run: make run FULL_REFRESH=1")
    return 0


def _dev(given: argparse.Namespace, settings: Settings) -> int:
    """Webserver and daemon until Ctrl-C; if one ends, so does the other."""
    from dagster import DagsterInstance

    from dagster_project.dbt_build import DbtError, dbt_for
    from dagster_project.instance import dagster_home

    dagster_home(settings)
    with DagsterInstance.get():
        pass  # its files are made here: two processes making them at once spoil them
    try:
        _ = dbt_for(settings.warehouse).manifest  # parsed once here, not by both at the same time
    except DbtError as error:
        raise UserError(str(error)) from None
    tools, workspace = Path(sys.executable).parent, PROJECT_ROOT / "workspace.yaml"
    commands = (
        [tools / "dagster-webserver", "-w", workspace, "-h", "127.0.0.1", "-p", str(given.port)],
        [tools / "dagster-daemon", "run", "-w", workspace],
    )
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    children = [subprocess.Popen(command, cwd=PROJECT_ROOT, start_new_session=True) for command in commands]
    print(f"http://127.0.0.1:{given.port} — Ctrl-C ends it", flush=True)
    try:
        pid, _ = os.wait()
        ended = next(child for child in children if child.pid == pid)
        raise UserError(f"{Path(ended.args[0]).name} ended; see its last lines above")
    finally:
        for child in children:
            child.terminate()
        for child in children:
            _end(child)


def _end(child: subprocess.Popen) -> None:
    """Wait for a terminated child; one that was still starting may have missed the signal, so its group is killed."""
    try:
        child.wait(timeout=15)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dagster_project",
        description="A sales-management warehouse: land, build, judge, forecast, publish.",
        epilog="Where things are and which sources are on: the WAREHOUSE_* variables, see docs/run-in-production.md.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    run = commands.add_parser("run", help="run a job to its end, here")
    run.add_argument("--job", choices=JOBS, default=JOBS[0])
    run.add_argument("--full-refresh", action="store_true", help="rebuild incremental tables; raw tables stay")
    run.set_defaults(command=_run)

    backtest = commands.add_parser("backtest", help="hold every past forecast against what came")
    backtest.set_defaults(command=_backtest)

    sql = commands.add_parser("sql", help="query the published marts")
    sql.add_argument("query")
    sql.set_defaults(command=_sql)

    status = commands.add_parser("status", help="what is published, and what is held back and why")
    status.set_defaults(command=_status)

    worklist = commands.add_parser("worklist", help="what to mend in the CRM, as CSV and as an Excel workbook")
    worklist.add_argument("--to", metavar="FOLDER", help="where to write; default: worklist/ beside the releases")
    worklist.set_defaults(command=_worklist)

    report = commands.add_parser("report", help="the weekly report of what is published, as one page to read or print")
    report.add_argument("--to", metavar="FOLDER", help="where to write; default: report/ beside the releases")
    report.set_defaults(command=_report)

    rollback = commands.add_parser("rollback", help="make an earlier release the published one")
    rollback.add_argument("release", nargs="?", help="its id; default: the one before")
    rollback.set_defaults(command=_rollback)

    glossary = commands.add_parser("glossary", help="write docs/glossary.md from the models' contracts")
    glossary.set_defaults(command=_glossary)

    dev = commands.add_parser("dev", help="Dagster's webserver and daemon on this machine")
    dev.add_argument("--port", type=int, default=3000)
    dev.set_defaults(command=_dev)

    erase = commands.add_parser("erase", help="erase one person, by e-mail, from the raw layers")
    erase.add_argument("email")
    erase.set_defaults(command=_erase)
    return parser
