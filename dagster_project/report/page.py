"""The report as one HTML page: what is the number, what does it rest on, what must change; company, then each team.

Words and layout only; the figures are the marts' (`marts.py`), the charts drawn (`charts.py`).
"""

from __future__ import annotations

import datetime as dt
import re
from html import escape
from pathlib import Path

from altair.utils.schemapi import debug_mode

from dagster_project.report import charts
from dagster_project.report.marts import Place, Report, Row
from dagster_project.report.words import NONE, exact, money, percent, signed, times

LEVERS = {
    "stretch": "Quota above usual", "deals_in_play": "Deals in play", "speed": "Speed", "win_rate": "Win rate",
    "deal_size": "Deal size",
}  # fmt: skip

STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
COVERAGE_KEY = (
    '<p class="key-line"><i class="dot blue"></i>open pipeline over what is to go'
    '<i class="dot orange"></i>what own history says is needed</p>'
)
LEVERS_KEY = (
    '<p class="key-line"><i class="dot orange"></i>widens the gap<i class="dot blue"></i>narrows it'
    " · line: 95 % interval · the bars add up to the gap</p>"
)


def render(report: Report) -> str:
    """The page as HTML that reads with no other file, no script and no network."""
    title = f"Weekly sales report, {report.fiscal_quarter}" if report.fiscal_quarter else "Weekly sales report"
    places = [report.company, *report.teams] if report.company.rollup else []
    with debug_mode(False):  # Altair checks each part of a chart as it is made, a quarter of the time of a page
        body = "".join(_place(report, place) for place in places) or _nothing()
    links = " ".join(f'<a href="#{_anchor(place)}">{escape(place.title)}</a>' for place in places)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header>
<p>{escape(_when(report))}</p>
</header>
{f"<nav>{links}</nav>" if len(places) > 1 else ""}
{body}
{_how_right(report) if places else ""}
{_footer(report)}
</main>
</body>
</html>
"""


def _nothing() -> str:
    return (
        "<h1>Nothing to report yet</h1><p class=lede>No lock of the forecast is published: run the pipeline once.</p>"
    )


def _when(report: Report) -> str:
    week = f"week {report.week} of {report.weeks}" if report.week and report.weeks else None
    lock = f"as of the close of {_day(report.lock_date)}" if report.lock_date else None
    currency = f"all money in {report.currency}" if report.currency else None
    return " · ".join(filter(None, ["Weekly sales report", report.fiscal_quarter, week, lock, currency]))


def _place(report: Report, place: Place) -> str:
    heading = "h1" if place.level == "company" else "h2"
    name = "" if place.level == "company" else f'<p class="name">{escape(place.title)}</p>'
    return f"""
<section class="place" id="{_anchor(place)}">
{name}<{heading}>{escape(headline(place))}</{heading}>
<p class="lede">{escape(_lede(report, place))}</p>
{_tiles(place)}
<h4>What is the number</h4>
<div class="grid">
{_card(_number_title(place), _number_chart(place))}
{_card(_coverage_title(place), _coverage_chart(report, place), COVERAGE_KEY)}
{_card("Team by team" if place.level == "company" else "Rep by rep", _parts_table(place), whole=True)}
</div>
<h4>What it rests on</h4>
<div class="grid">
{_card(_waterfall_title(report, place), charts.waterfall(place.waterfall) if place.waterfall else "", whole=True)}
</div>
<h4>What must change</h4>
<div class="grid">
{_levers(place)}
{_card(_worklist_title(place), _worklist(place), whole=True)}
</div>
</section>
"""


def _card(title: str, content: str, below: str = "", whole: bool = False) -> str:
    """A part of the page; nothing where there is nothing to show."""
    if not content:
        return ""
    return f'<div class="card{" whole" if whole else ""}"><h3>{escape(title)}</h3>{content}{below}</div>'


# --- what is the number


def headline(place: Place) -> str:
    """The call against the quota, in one line."""
    row = place.rollup
    quota, won, called = row.get("quota_amount"), row.get("won_amount"), row.get("commit_called_amount")
    if not quota:
        return f"{money(won)} won, no quota set"
    if won >= quota:
        return f"Quota is made: {money(won)} of {money(quota)} won"
    if called and called >= quota:
        return f"The call makes quota: {money(called)} called of {money(quota)}, {money(won)} of it won"
    if called:
        return f"The call is {money(quota - called)} short of quota: {money(called)} of {money(quota)}"
    return f"{money(won)} of {money(quota)} won, {money(quota - won)} to go, nothing called"


def _lede(report: Report, place: Place) -> str:
    row, said = place.rollup, []
    quota, won = row.get("quota_amount"), row.get("won_amount")
    if quota:
        left = f" with {report.weeks - report.week} weeks left" if report.week and report.weeks else ""
        said.append(f"{money(won)} is won, {percent(won / quota)} of quota{left}.")
    commit, evidenced = _commit(row), row.get("commit_evidenced_amount")
    if commit and evidenced is not None:
        said.append(f"Of the {money(commit)} of open deals called commit, {money(evidenced)} rests on evidence.")
    if row.get("model_amount") is not None:
        said.append(
            f"The model expects {money(row['model_amount'])}, and between {money(row['p10_amount'])} and "
            f"{money(row['p90_amount'])} in eight cases of ten."
        )
    missing = place.levers.get("own", {}).get("missing_amount")
    if missing is not None and missing > 0:
        said.append(f"If the rest of the quarter goes as it usually does, {money(missing)} is missing at its end.")
    elif missing is not None and place.levers["own"]["gap_amount"] > 0:
        said.append("If the rest of the quarter goes as it usually does, quota is made.")
    return " ".join(said)


def _commit(row: Row):
    return row.get("commit_amount", row.get("commit_open_amount"))


def _tiles(place: Place) -> str:
    row = place.rollup
    quota, won, called = row.get("quota_amount"), row.get("won_amount"), row.get("commit_called_amount")
    week = None
    if len(place.coverage) > 1 and None not in (place.now["won_amount"], place.coverage[-2]["won_amount"]):
        week = place.now["won_amount"] - place.coverage[-2]["won_amount"]
    tiles = [
        ("Quota", quota, ""),
        (
            "Won",
            won,
            " · ".join(
                filter(None, [percent(won / quota) if quota else "", f"{signed(week)} this week" if week else ""])
            ),
        ),
        ("Called commit", called, f"{percent(called / quota)} of quota" if quota and called is not None else ""),
    ]
    if row.get("commit_evidenced_amount") is not None:
        backed = won + row["commit_evidenced_amount"]
        share = row["commit_evidenced_amount"] / _commit(row) if _commit(row) else None
        tiles.append(("Won + evidence-backed", backed, f"{percent(share)} of open commit" if share is not None else ""))
    if row.get("model_amount") is not None:
        tiles.append(("Model", row["model_amount"], f"{money(row['p10_amount'])} to {money(row['p90_amount'])}"))
    elif row.get("forecast_amount") is not None:
        tiles.append(("CRM-weighted", row["forecast_amount"], "won + amount x probability"))
    if place.now.get("coverage_remaining") is not None:
        needed = place.now["coverage_needed"]
        tiles.append(("Coverage", times(place.now["coverage_remaining"]), f"{times(needed)} needed" if needed else ""))
    shown = "".join(
        f'<div class="tile{" key" if label == "Called commit" else ""}"><span>{label}</span>'
        f"<b{'' if isinstance(value, str) else f' title={chr(34)}{exact(value)}{chr(34)}'}>"
        f"{value if isinstance(value, str) else money(value)}</b><span>{escape(note)}&nbsp;</span></div>"
        for label, value, note in tiles
    )
    return f'<div class="tiles">{shown}</div>'


def _number_title(place: Place) -> str:
    row = place.rollup
    evidenced = row.get("commit_evidenced_amount")
    if evidenced is not None and row.get("quota_amount"):
        share = percent((row["won_amount"] + evidenced) / row["quota_amount"])
        return f"Won and evidence-backed commit come to {share} of quota"
    return "Won and called against quota"


def _number_chart(place: Place) -> str:
    row = place.rollup
    won, bars = row.get("won_amount") or 0, []

    def bar(label: str, amount, colour: str) -> None:
        if amount is not None:
            bars.append((label, float(amount), colour))

    bar("Won", won, charts.GREEN)
    if row.get("commit_evidenced_amount") is not None:
        bar("Won + backed commit", won + row["commit_evidenced_amount"], charts.BLUE)
        bar("Won + open commit", won + (_commit(row) or 0), charts.PALE)
    bar("Commit as called", row.get("commit_called_amount"), charts.PALE)
    bar("Best case as called", row.get("best_case_called_amount"), charts.PALER)
    span = None
    if row.get("model_amount") is not None:
        span = ("Model", *(float(row[name]) for name in ("p10_amount", "model_amount", "p90_amount")))
    else:
        bar("CRM-weighted", row.get("forecast_amount"), charts.GREY)
    quota = row.get("quota_amount")
    return charts.number(bars, float(quota) if quota else None, span)


def _coverage_title(place: Place) -> str:
    gap, open_amount = place.now.get("coverage_gap_amount"), place.now.get("open_amount")
    if gap is None:
        return "Coverage of what is to go"
    if gap > 0:
        return f"{money(open_amount)} of pipeline is open for the quarter; own history says {money(gap)} more is needed"
    return (
        f"{money(open_amount)} of pipeline is open for the quarter, {money(-gap)} more than own history says is needed"
    )


def _coverage_chart(report: Report, place: Place) -> str:
    rows = [row for row in place.coverage if row["coverage_remaining"] is not None]
    return charts.coverage(rows, report.weeks) if rows else ""


def _parts_table(place: Place) -> str:
    if not place.parts:
        return ""
    with_evidence = place.rollup.get("commit_evidenced_amount") is not None
    with_model = place.rollup.get("model_amount") is not None
    heads = ["Quota", "Won", "of quota", "Called", "Called less quota"]
    heads += ["Backed commit"] if with_evidence else []
    heads += ["Model", "p10 to p90"] if with_model else []
    heads += ["Coverage", "needed"]
    lines = []
    for part in [*place.parts, place]:
        row, now = part.rollup, part.now
        quota, won, called = row.get("quota_amount") or 0, row.get("won_amount") or 0, row.get("commit_called_amount")
        short = called - quota if quota and called is not None else None
        cells = [exact(quota), exact(won), percent(won / quota) if quota else NONE, exact(called), exact(short)]
        tones = ["", "", "", "", " short" if short is not None and short < 0 else " long" if short else ""]
        if with_evidence:
            cells.append(exact(row.get("commit_evidenced_amount")))
        if with_model:
            cells += [
                exact(row.get("model_amount")),
                f"{money(row.get('p10_amount'))} to {money(row.get('p90_amount'))}",
            ]
        cells += [times(now.get("coverage_remaining")), times(now.get("coverage_needed"))]
        tones += [""] * (len(cells) - len(tones))
        name = "All" if part is place else escape(part.title)
        if part.level == "team" and part is not place:
            name = f'<a href="#{_anchor(part)}">{name}</a>'
        numbers = "".join(f'<td class="n{tone}">{cell}</td>' for cell, tone in zip(cells, tones, strict=True))
        lines.append(f"<tr{' class=sum' if part is place else ''}><td>{name}</td>{numbers}</tr>")
    first = "Team" if place.level == "company" else "Rep"
    return _table([first, *heads], lines, numeric_from=1)


# --- what it rests on


def _waterfall_title(report: Report, place: Place) -> str:
    row = place.waterfall
    if not row:
        return ""
    change = row["ending_amount"] - row["starting_amount"]
    words = "did not change" if not change else f"{'grew' if change > 0 else 'shrank'} by {money(abs(change))}"
    return (
        f"Pipeline closing in {report.fiscal_quarter} {words} this week, from {money(row['starting_amount'])} "
        f"to {money(row['ending_amount'])}"
    )


# --- what must change


def _levers(place: Place) -> str:
    own = place.levers.get("own")
    if not own:
        return ""
    parts = []
    if own["undefined_reason"] is None:
        rest = own["base_rest_amount"]
        parts = [("Still to come as usual", float(rest), None, None)] if rest else []
        for lever, label in LEVERS.items():
            amount, low, high = (own[f"{lever}_gap{end}_amount"] for end in ("", "_low", "_high"))
            if lever == "stretch" and rest:
                amount, low, high = amount - rest, None, None
            bounds = (None, None) if low is None or high is None else (float(low), float(high))
            parts.append((label, float(amount), *bounds))
    chart = charts.levers(parts) if parts else ""
    gap = own["gap_amount"]
    title = f"Where the {money(gap)} to quota comes from" if gap > 0 else f"Why quota is passed by {money(-gap)}"
    if not chart:
        chart = f"<p>The gap cannot be split: {escape(own['undefined_reason'])}.</p>"
    return _card(title, chart, LEVERS_KEY if parts else "") + _card("One lever at a time", _sentences(place))


def _sentences(place: Place) -> str:
    """The largest part first; the split's own base, and below it what peers say."""
    shown = []
    own, peers = place.levers["own"], place.levers.get("peers") or {}
    for lever in sorted(LEVERS, key=lambda lever: (lever == "stretch", -(own[f"{lever}_gap_amount"] or 0))):
        sentence, amount = own[f"{lever}_sentence"], own[f"{lever}_gap_amount"]
        if not sentence:
            continue
        tone = "" if amount is None or abs(amount) < 1 else " class=wide" if amount > 0 else " class=narrow"
        beside = peers.get(f"{lever}_sentence") if lever != "stretch" else None
        note = f'<br><span class="soft">Beside peers: {escape(_dated(beside))}</span>' if beside else ""
        shown.append(f"<li{tone}><b>{LEVERS[lever]}.</b>{escape(_dated(sentence))}{note}</li>")
    return f'<ul class="levers">{"".join(shown)}</ul>' if shown else ""


def _worklist_title(place: Place) -> str:
    if not place.worklist:
        return "Nothing to mend in the CRM"
    return f"Mend these first: deals with something wrong carry {money(place.at_stake)} of weighted pipeline"


def _worklist(place: Place) -> str:
    lines = [
        f'<tr><td class="n">{row["worklist_rank"]}</td><td>{escape(row["opportunity_name"] or row["opportunity_id"])}'
        f'<br><span class="soft">{escape(row["account_name"] or "no account")}</span></td>'
        f"<td>{escape(row['rep_name'] or 'nobody')}</td>"
        f'<td>{escape(row["sentence"])}<br><span class="soft">{escape(row["evidence"] or "")}</span></td>'
        f"<td>{escape(_category(row['forecast_category']))}</td>"
        f'<td class="n">{exact(row["amount_base"])}</td>'
        f'<td class="n">{exact(row["forecast_amount_at_stake"])}</td></tr>'
        for row in place.worklist
    ]
    heads = ["Rank", "Deal", "Owner", "What is wrong, and what shows it", "Called", "Amount", "At stake"]
    return _table(heads, lines, numeric_from=5) if lines else ""


# --- how far such numbers were right


def _how_right(report: Report) -> str:
    if not report.errors and not report.calibration:
        return ""
    methods = dict.fromkeys(row["method"] for row in report.calibration)
    circles = "".join(
        _card(
            f"{charts.method_name(method)}: does what it calls 70 % come 70 times in 100?",
            charts.calibration([row for row in report.calibration if row["method"] == method]),
        )
        for method in methods
    )
    lines = (
        _card("How far the company's forecast was off, by week of the quarter", charts.errors(report.errors))
        if report.errors
        else ""
    )
    table = (
        _card(f"The same in figures, and the bias of week {_nearest_week(report)}", _error_table(report))
        if report.errors
        else ""
    )
    return f"""
<section class="place" id="how-right">
<h2>How far such numbers were right before</h2>
<p class="lede">{escape(_record(report))}</p>
<div class="grid">{lines}{table}{circles}</div>
</section>
"""


def _record(report: Report) -> str:
    """Which method was least off at this week of the quarter."""
    week = _nearest_week(report)
    now = [row for row in report.errors if row["week"] == week and row["wape"] is not None]
    if not now:
        return ""
    best = min(now, key=lambda row: row["wape"])
    others = [row for row in now if row["method"] == "rep_commit" and row is not best]
    beside = f", the reps' call by {percent(others[0]['wape'], 1)}" if others else ""
    name = charts.method_name(best["method"])
    return (
        f"In week {week} of {best['quarters']} finished quarters the least wrong was: {name}, off by "
        f"{percent(best['wape'], 1)} of what was won{beside}. Off means the sum of errors, too high or too low, over "
        "the sum of what was won."
    )


def _nearest_week(report: Report) -> int | None:
    weeks = sorted({row["week"] for row in report.errors if row["wape"] is not None})
    return min(weeks, key=lambda week: abs(week - (report.week or week)), default=None)


def _error_table(report: Report) -> str:
    week = _nearest_week(report)
    found = {(row["method"], row["week"]): row for row in report.errors}
    weeks = sorted({each for each in (1, 4, 7, 10, 13, week) if any(row["week"] == each for row in report.errors)})
    names = [name for name in charts.METHODS if any(row["method"] == name for row in report.errors)]
    names += sorted({row["method"] for row in report.errors} - set(names))
    lines = []
    for name in names:
        cells = [percent(found.get((name, each), {}).get("wape"), 1) for each in weeks]
        now = found.get((name, week), {})
        bias = now.get("bias")
        cells.append(f"{'+' if bias and bias > 0 else ''}{percent(bias, 1)}")
        numbers = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        lines.append(f"<tr><td>{escape(charts.method_name(name))}</td>{numbers}</tr>")
    heads = ["Off by, in week", *map(str, weeks), "Bias"]
    return _table(heads, lines, numeric_from=1)


# --- small things


def _table(heads: list[str], lines: list[str], numeric_from: int) -> str:
    top = "".join(
        f"<th{' class=n' if place >= numeric_from else ''}>{escape(head)}</th>" for place, head in enumerate(heads)
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _footer(report: Report) -> str:
    release = report.release
    facts = []
    if release:
        as_of = f"{release['as_of_at']:%Y-%m-%d %H:%M} UTC" if release.get("as_of_at") else "unknown"
        facts.append(f"release {release['release_id']}, data as of {as_of}")
    words = {
        "Called": "the reps' newest own commit by the lock; what is won is in it",
        "Backed commit": "open deals called commit whose evidence supports a commit: events, not fields",
        "Coverage": "open pipeline closing in the quarter over quota less won; needed: what the last two years took",
        "Usual": "the trailing four quarters, by the same day of the quarter",
        "At stake": "amount times the CRM's probability of the deal, whatever quarter it is to close in",
    }
    terms = "".join(f"<dt>{term}</dt><dd>{escape(text)}</dd>" for term, text in words.items())
    return f'<footer><dl>{terms}</dl><p class="soft">{escape(" · ".join(facts))}</p></footer>'


def _anchor(place: Place) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{place.level} {place.level_id}".lower()).strip("-")


def _category(name: str | None) -> str:
    return (name or "").replace("_", " ")


def _day(day: dt.date) -> str:
    return f"{day.day} {day:%B %Y}"


def _dated(sentence: str) -> str:
    """Dates in a sentence as a person writes them, and no figure broken from its unit."""
    sentence = re.sub(r"(?<=\d) (?=[MK%](?!\w))", "\u00a0", sentence)
    return re.sub(r"\d{4}-\d\d-\d\d", lambda found: _day(dt.date.fromisoformat(found[0])), sentence)
