"""The run page, `published/status/`: what ran, what the gate said, what is held back and what is served meanwhile.

It stands outside the releases, because a run that publishes nothing is the one that most needs explaining. Beside
`index.html` lie `gate.csv`, `failing_rows.csv` and, where there is one, `worklist.csv`. Nothing is decided here.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from pathlib import Path

import duckdb

from dagster_project import publishing, warehouse, worklist
from dagster_project.gate import FORECAST_INPUTS, RAW, SEVERITIES, VERDICT
from dagster_project.settings import Settings

EXAMPLES = 5  # failing rows shown under a check; all of them are in failing_rows.csv


@dataclass(frozen=True)
class Load:
    """What one source's newest load did to one table."""

    origin: str
    system: str
    relation: str
    status: str
    reason: str | None
    extracted_at: dt.datetime | None
    rows_read: int
    rows_landed: int
    rows_rejected: int
    seconds: float


@dataclass(frozen=True)
class Check:
    """A row of `forecast.gate` with the keys of its first failing rows."""

    gate: str
    suite: str
    name: str
    severity: str
    is_passed: bool
    rows: int
    amount_base: Decimal | None
    reason: str
    owner: str | None
    held_back: str | None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """All that the page tells. `failure`: the line a step stopped with; `served`: what readers get now."""

    run_id: str
    written_at: dt.datetime
    loads: tuple[Load, ...]
    checks: tuple[Check, ...]
    verdicts: tuple[Check, ...]
    lock_date: dt.date | None
    served: publishing.Release | None
    failure: str | None = None
    files: tuple[str, ...] = ()

    @property
    def held_back(self) -> Check | None:
        """The verdict that stopped the run."""
        return next((verdict for verdict in self.verdicts if not verdict.is_passed), None)

    @property
    def failed(self) -> list[Check]:
        return sorted(
            (check for check in self.checks if not check.is_passed),
            key=lambda check: (SEVERITIES.index(check.severity), -(check.amount_base or 0), -check.rows, check.suite),
        )


def write(settings: Settings, run_id: str, failure: str | None = None) -> Path:
    """Write the page of a run and return it. Each file is replaced whole, the page last."""
    folder = settings.published / "status"
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(run_id, _now(), (), (), (), None, publishing.served(settings), failure)
    if settings.warehouse.exists():
        with warehouse.connect(settings.warehouse, read_only=True) as connection:
            if _has(connection, "forecast", "gate"):
                files = _export(connection, folder, run_id)
                run = collect(connection, settings, run_id, failure, files)
    page = folder / "index.html"
    _replace(page, render(run).encode())
    return page


def write_failure(settings: Settings, run_id: str, step: str, error: str) -> Path:
    """Write the page of a run that a step ended early; where the gate held it back, that is what the page tells."""
    return write(settings, run_id, f"{step}: {' '.join(error.split())}")


def tell(settings: Settings) -> str:
    """The newest judged run and the releases kept, as a few lines of text."""
    lines = []
    if settings.warehouse.exists():
        with warehouse.connect(settings.warehouse, read_only=True) as connection:
            newest = "select run_id from forecast.gate order by checked_at desc limit 1"
            found = connection.execute(newest).fetchone() if _has(connection, "forecast", "gate") else None
            if found:
                title, _, story = _story(collect(connection, settings, found[0]))
                lines += [f"{title} (run {found[0]})", *(f"  {label}: {text}" for label, text in story.items())]
    lines = lines or ["No run has come to the gate yet."]
    for release in publishing.releases(settings):
        marks = [mark for mark, is_so in (("served", release.is_current), ("withdrawn", release.is_withdrawn)) if is_so]
        lines.append(f"  {release}{' (' + ', '.join(marks) + ')' if marks else ''}")
    return "\n".join(lines)


def collect(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    run_id: str,
    failure: str | None = None,
    files: Sequence[str] = (),
) -> Run:
    """What the warehouse and the published folder know of a run."""
    rows = connection.execute(
        """
        select
          gate, suite, check_name, severity, is_passed, rows_failed_count, failed_amount_base, reason, owner, held_back
        from forecast.gate where run_id = ? order by checked_at, suite, check_name
        """,
        [run_id],
    ).fetchall()
    examples = _examples(connection, run_id)
    checks = [Check(*row, examples=examples.get((row[1], row[2]), ())) for row in rows]
    newest = {check.gate: check for check in checks if check.name == VERDICT}
    locks = connection.execute("select max(lock_date) from forecast.gate where run_id = ?", [run_id]).fetchone()
    return Run(
        run_id=run_id,
        written_at=_now(),
        loads=tuple(_loads(connection)),
        checks=tuple(check for check in checks if check.name != VERDICT),
        verdicts=tuple(newest[gate] for gate in (RAW, FORECAST_INPUTS) if gate in newest),
        lock_date=locks[0],
        served=publishing.served(settings),
        failure=failure,
        files=tuple(files),
    )


def _loads(connection) -> Iterable[Load]:
    """The newest load of every source that is switched on, table by table."""
    schemas = sorted({table.schema for table in warehouse.ALL_TABLES})
    loads = " union all ".join(f"select '{s}.' || table_name as relation, * from {s}.loads" for s in schemas)
    rows = connection.execute(
        f"""
        with loads as ({loads}),
        newest as (select origin, system, max(load_id) as load_id from loads group by origin, system)
        select
          origin, system, relation, status, refused_reason, extracted_at, rows_read, rows_landed, rows_rejected, seconds
        from loads
        inner join newest using (origin, system, load_id)
        inner join ops.active_sources using (origin, system)
        order by origin, system, relation
        """
    ).fetchall()
    return [Load(*row) for row in rows]


def _examples(connection, run_id: str) -> dict[tuple[str, str], tuple[str, ...]]:
    rows = connection.execute(
        """
        select suite, check_name, row_key || coalesce('  ' || nullif(row_text, '{}'), '')
        from forecast.gate_failing_rows where run_id = ?
        qualify row_number() over (partition by suite, check_name order by amount_base desc nulls last, row_key) <= ?
        order by suite, check_name, amount_base desc nulls last, row_key
        """,
        [run_id, EXAMPLES],
    ).fetchall()
    examples: dict[tuple[str, str], tuple[str, ...]] = {}
    for suite, check_name, text in rows:
        examples[suite, check_name] = (*examples.get((suite, check_name), ()), _plain(text))
    return examples


def _plain(json_text: str) -> str:
    return json_text.replace('{"', "").replace("}", "").replace('":', " ").replace(',"', ", ").replace('"', "")


def _export(connection, folder: Path, run_id: str) -> list[str]:
    """Verdicts and failures of every run with all checks of this one, its failing rows, and the worklist."""
    run = "'" + run_id.replace("'", "''") + "'"
    selects = {
        "gate.csv": f"""
            select * from forecast.gate where run_id = {run} or not is_passed or check_name = '{VERDICT}'
            order by checked_at desc, gate, suite, check_name""",
        "failing_rows.csv": f"""
            select * from forecast.gate_failing_rows where run_id = {run}
            order by suite, check_name, amount_base desc nulls last, row_key""",
    }
    for name, select in selects.items():
        draft = folder / f".{name}"
        connection.execute(f"copy ({select}) to '{str(draft).replace(chr(39), chr(39) * 2)}' (format csv, header)")
        os.replace(draft, folder / name)
    if not _has(connection, "hygiene", "worklist"):
        (folder / "worklist.csv").unlink(missing_ok=True)
        return list(selects)
    worklist.write_csv(folder / "worklist.csv", *worklist.read(connection), encoding="utf-8")
    return [*selects, "worklist.csv"]


def _has(connection, schema: str, table: str) -> bool:
    query = "select count(*) from information_schema.tables where table_schema = ? and table_name = ?"
    return connection.execute(query, [schema, table]).fetchone()[0] > 0


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_bytes(content)
    os.replace(draft, path)


# --- the page

STYLE = """
:root { --ink: #1d2733; --soft: #5c6b7a; --line: #dfe5ea; --paper: #fff; --wash: #f5f7f9;
        --good: #17693f; --good-wash: #e7f4ec; --bad: #a3231f; --bad-wash: #fcebea;
        --care: #875400; --care-wash: #fdf3de; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink);
       font: 16px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { margin: .4rem 0; }
small, .soft { color: var(--soft); font-size: .875rem; }
a { color: #0b5cad; }
.banner { border-radius: .6rem; padding: 1.1rem 1.3rem; margin: 1rem 0 1.2rem; border-left: .4rem solid; }
.good { background: var(--good-wash); border-color: var(--good); } .good h1 { color: var(--good); }
.bad { background: var(--bad-wash); border-color: var(--bad); } .bad h1 { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; }
.tile { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.35rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .55rem .8rem; border-top: 1px solid var(--line); }
tr:first-child > th { border-top: 0; }
th { font-size: .8rem; color: var(--soft); font-weight: 600; white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.tag { display: inline-block; border-radius: 1rem; padding: 0 .6rem; font-size: .8rem; font-weight: 600; }
.error, .refused { background: var(--bad-wash); color: var(--bad); }
.quarantine, .landed { background: var(--care-wash); color: var(--care); }
.warning { background: #eceff2; color: #46535f; } .accepted { background: var(--good-wash); color: var(--good); }
details { margin: .5rem 0; } summary { cursor: pointer; color: #0b5cad; }
code { display: block; margin: .4rem 0; font: .8rem/1.4 ui-monospace, Menlo, Consolas, monospace;
       overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1rem; margin: .8rem 0 0; }
dt { font-weight: 600; } dd { margin: 0; white-space: pre-line; }
@media (max-width: 40rem) {
  dl { display: block; } dd { margin-bottom: .5rem; }
  .stack tr { display: block; border-top: 1px solid var(--line); padding: .5rem 0; }
  .stack tr:first-child { display: none; }
  .stack tr:nth-child(2) { border-top: 0; }
  .stack td { display: block; border: 0; padding: .1rem .9rem; text-align: left; white-space: normal; }
  .stack td[data-l]::before { content: attr(data-l) " "; color: var(--soft); font-size: .8rem; }
}
@media print {
  body { background: none; font-size: 11px; } main { max-width: none; padding: 0; } .card { overflow: visible; }
  .banner, .tile, tr { break-inside: avoid; } .banner { border: 1px solid; border-left-width: .4rem; }
  h2 { break-after: avoid; } details > summary { color: inherit; } * { print-color-adjust: exact; }
}
"""


def render(run: Run) -> str:
    """The page as HTML that needs no other file to be read."""
    title, tone, story = _story(run)
    links = " · ".join(f'<a href="{name}">{name}</a>' for name in run.files)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<p class="soft">Sales warehouse · run {escape(run.run_id)} · {run.written_at:%Y-%m-%d %H:%M} UTC</p>
<section class="banner {tone}"><h1>{escape(title)}</h1>{_lines(story)}</section>
{_tiles(run)}
{_checks(run)}
{_sources(run)}
<p class="soft">Files beside this page: {links or "none"}</p>
</main>
</body>
</html>
"""


def _story(run: Run) -> tuple[str, str, dict[str, str]]:
    """Headline, tone and the lines under it: what, why, how much, what is served, what to do."""
    served = str(run.served) if run.served else "nothing yet: no release was ever published"
    if run.held_back:
        verdict = run.held_back
        errors = [check for check in run.failed if check.severity == "error" and check.gate == verdict.gate]
        why = "\n".join(f"{c.suite}: {_words(c.name).lower()} ({_count(c.rows, 'row')}): {c.reason}" for c in errors)
        money = (
            f"{_money(verdict.amount_base)} in {_count(verdict.rows, 'open deal')}"
            if verdict.gate == FORECAST_INPUTS
            else f"{_money(verdict.amount_base)} of open pipeline, whose forecast stays as it was"
        )
        owners = ", ".join(sorted({check.owner for check in errors if check.owner}))
        lines = {
            "Held back": _sentence(verdict.held_back or ""),
            "Why": why,
            "Money behind it": f"{money} (base currency)"
            if verdict.amount_base is not None
            else "not known: nothing was built yet",
            "Still served": served,
            "Next step": f"{owners}: mend what is listed below and run the pipeline again; nothing needs undoing.",
        }
        return "Held back: nothing was published", "bad", lines
    if run.failure:
        lines = {
            "What stopped it": run.failure,
            "Still served": served,
            "Next step": "Mend the cause and run the pipeline again; a stopped run leaves nothing half done.",
        }
        return "The run stopped before it published", "bad", lines
    lines = {"Served": served}
    verdict = next((verdict for verdict in run.verdicts if verdict.gate == FORECAST_INPUTS), None)
    if verdict and verdict.rows:
        lines["Held out of the forecast"] = (
            f"{_sentence(verdict.held_back or '')}, {_money(verdict.amount_base)} (base currency)"
        )
    if run.failed:
        owners = ", ".join(sorted({check.owner for check in run.failed if check.owner}))
        lines["Next step"] = f"{owners}: work through the list below; none of it stops the forecast."
    is_new = run.served is not None and run.served.run_id == run.run_id
    return "Published" if is_new else "The gate passed", "good", lines


def _tiles(run: Run) -> str:
    tiles = [
        ("rows read", f"{sum(load.rows_read for load in run.loads):,}"),
        ("rows new or changed", f"{sum(load.rows_landed for load in run.loads):,}"),
        ("rows rejected", f"{sum(load.rows_rejected for load in run.loads):,}"),
    ]
    if run.checks:
        failed = (sum(check.severity == severity for check in run.failed) for severity in SEVERITIES)
        tiles.append(("checks passed", f"{len(run.checks) - len(run.failed)} of {len(run.checks)}"))
        tiles.append(("errors · quarantine · warnings", " · ".join(map(str, failed))))
    verdict = next((verdict for verdict in run.verdicts if verdict.gate == FORECAST_INPUTS and verdict.is_passed), None)
    if verdict:
        tiles.append(("in quarantine (base currency)", _money(verdict.amount_base or Decimal(0))))
    items = "".join(f'<div class="tile"><b>{escape(value)}</b><small>{label}</small></div>' for label, value in tiles)
    return f'<section class="tiles">{items}</section>'


def _checks(run: Run) -> str:
    if not run.checks:
        return "<h2>Checks</h2><p>The run did not come to the gate.</p>"
    rows = ["<tr><th>Check</th><th>Reason</th><th>Owner</th><th class=n>Rows</th><th class=n>Money (base)</th></tr>"]
    for check in run.failed:
        examples = "".join(f"<code>{escape(example)}</code>" for example in check.examples)
        shown = f"<details><summary>rows</summary>{examples}</details>" if examples else ""
        rows.append(
            f'<tr><td><span class="tag {check.severity}">{check.severity}</span> <b>{escape(_words(check.name))}</b>'
            f"<br><small>{escape(check.suite)}</small></td><td>{escape(check.reason)}{shown}</td>"
            f"<td>{escape(check.owner or '')}</td><td class=n data-l=Rows>{check.rows:,}</td>"
            f'<td class=n data-l="Money">{_money(check.amount_base) or "&ndash;"}</td></tr>'
        )
    passed = [check for check in run.checks if check.is_passed]
    names = escape("; ".join(f"{check.suite}: {_words(check.name).lower()}" for check in passed))
    failed = _table(rows) if run.failed else "<p>Every check passed.</p>"
    return (
        f"<h2>Checks that failed</h2>{failed}"
        f"<details><summary>{len(passed)} passed</summary><small>{names}</small></details>"
    )


def _sources(run: Run) -> str:
    if not run.loads:
        return "<h2>Sources</h2><p>Nothing was loaded yet.</p>"
    head = (
        "<tr><th>{}</th><th>State</th><th class=n>Read</th><th class=n>New or changed</th><th class=n>Rejected</th>"
        "<th class=n>Seconds</th></tr>"
    )
    groups: dict[tuple[str, str], list[Load]] = {}
    for load in run.loads:
        groups.setdefault((load.origin, load.relation.partition(".")[0]), []).append(load)
    sums = [_load_row(f"{origin} → {schema}", loads) for (origin, schema), loads in groups.items()]
    tables = [_load_row(load.relation, [load]) for load in run.loads]
    return (
        f"<h2>Sources, the newest load of each</h2>{_table([head.format('Source'), *sums])}"
        f"<details><summary>by table</summary>{_table([head.format('Table'), *tables])}</details>"
    )


def _table(rows: list[str]) -> str:
    return f'<div class="card"><table class="stack">{"".join(rows)}</table></div>'


def _load_row(name: str, loads: list[Load]) -> str:
    first = loads[0]
    reason = f"<br><small>{escape(first.reason)}</small>" if first.reason else ""
    counts = [
        ("Read", f"{sum(load.rows_read for load in loads):,}"),
        ("New or changed", f"{sum(load.rows_landed for load in loads):,}"),
        ("Rejected", f"{sum(load.rows_rejected for load in loads):,}"),
        ("Seconds", f"{sum(load.seconds for load in loads):,.1f}"),
    ]
    cells = "".join(f'<td class=n data-l="{label}">{value}</td>' for label, value in counts)
    state = "waiting" if first.status == "landed" else first.status
    tag = f'<span class="tag {first.status}">{state}</span>'
    return f"<tr><td>{escape(name)}</td><td>{tag}{reason}</td>{cells}</tr>"


def _lines(lines: dict[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{label}</dt><dd>{escape(text)}</dd>" for label, text in lines.items()) + "</dl>"


def _words(name: str) -> str:
    return _sentence(name.replace("_", " "))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _money(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:,.0f}"
