"""The report's charts: Altair describes them, vl-convert draws them as SVG that stands in the page by itself.

A mark's figures are its title, which a browser shows under the pointer and a screen reader reads. Not here: which chart
goes where, and what is said about it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Sequence

import altair as alt
import vl_convert

from dagster_project.report.words import exact, money, percent, signed

INK, SOFT, LINE = "#1d2733", "#5c6b7a", "#dfe5ea"
BLUE, PALE, PALER, GREEN, ORANGE, GREY = "#2459a8", "#8db1e2", "#c9dbf2", "#1b7f5c", "#c2571a", "#8a96a3"
LINES = (BLUE, ORANGE, GREEN, GREY, "#7a4fa3", "#b8860b", "#3c4653")
HALF, WHOLE = 480, 980  # widths of the drawings; the page scales them to the space there is

LOOK = {
    "font": "Helvetica Neue, Helvetica, Arial, sans-serif",
    "view": {"stroke": None},
    "text": {"fontSize": 12},
    "legend": {"labelFontSize": 12, "labelColor": INK},
    "axis": {
        "labelColor": INK, "titleColor": SOFT, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
        "domainColor": LINE, "gridColor": LINE, "labelLimit": 200, "ticks": False,
    },
}  # fmt: skip

MOVEMENTS = {
    "created": "New", "reopened": "Reopened", "restored": "Restored", "pulled_in": "Pulled in",
    "pulled_out": "Pulled earlier", "pushed_out": "Pushed later", "pushed_in": "Pushed in",
    "reassigned_in": "Taken over", "reassigned_out": "Handed over", "increased": "Amount up",
    "decreased": "Amount down", "currency": "Currency", "won": "Won", "lost": "Lost", "deleted": "Deleted",
    "merged": "Merged", "withdrawn": "Withdrawn",
}  # fmt: skip
METHODS = {
    "model": "Model", "rep_commit": "Rep commit", "manager_commit": "Manager commit", "crm_weighted": "CRM weighted",
    "evidence_weighted": "Evidence weighted", "last_quarter": "Last quarter", "run_rate": "Run rate",
    "crm_probability": "CRM probability",
}  # fmt: skip

MONEY = (
    "datum.value == 0 ? '0' : abs(datum.value) >= 1e6 "
    "? format(datum.value / 1e6, '.3~f') + ' M' : format(datum.value / 1e3, '.3~f') + ' K'"
)
SAID, TEXT = alt.Description("said:N"), alt.Text("text:N")


def number(bars: Sequence[tuple[str, float, str]], quota: float | None, span: tuple | None = None) -> str:
    """Bars against the quota. bars: label, amount, colour. span: label, p10, mean and p90 of the model."""
    order = [label for label, *_ in bars] + ([span[0]] if span else [])
    rows = [{"label": bar, "amount": amount, "colour": c, "said": f"{bar}: {exact(amount)}"} for bar, amount, c in bars]
    texts = [{"label": label, "at": amount, "text": money(amount)} for label, amount, _ in bars]
    furthest = max([1.0, quota or 0, *(amount for _, amount, _ in bars), *(span[1:] if span else ())])
    y, x = _rows(order), _money_axis(alt.X, "amount:Q", (0, 1.24 * furthest))
    layers = [
        alt.Chart(_data(rows))
        .mark_bar(height=20, cornerRadiusEnd=2)
        .encode(x=x, y=y, color=alt.Color("colour:N", scale=None), description=SAID)
    ]
    if span:
        label, low, middle, high = span
        said = f"{label}: {exact(middle)}, from {exact(low)} to {exact(high)} in eight of ten cases"
        model = alt.Chart(_data([{"label": label, "low": low, "middle": middle, "high": high, "said": said}]))
        layers += [
            model.mark_bar(height=11, color=PALE, cornerRadius=5).encode(
                x=alt.X("low:Q"), x2=alt.X2("high:Q"), y=y, description=SAID
            ),
            model.mark_tick(thickness=3, size=22, color=BLUE).encode(x=alt.X("middle:Q"), y=y),
        ]
        texts.append({"label": label, "at": high, "text": money(middle)})
    if quota:
        line = {"quota": quota, "text": f"quota {money(quota)}", "said": f"Quota: {exact(quota)}"}
        rule = alt.Chart(_data([line])).encode(x=alt.X("quota:Q"))
        layers += [
            rule.mark_rule(color=INK, strokeWidth=1.6, strokeDash=[5, 3]).encode(description=SAID),
            rule.mark_text(align="right", dx=-4, baseline="bottom", y=-4, color=INK).encode(text=TEXT),
        ]
    words = alt.Chart(_data(texts)).encode(x=alt.X("at:Q"), y=y, text=TEXT)
    style = {"align": "left", "dx": 6, "fontWeight": 600}
    layers += [words.mark_text(**style, stroke="white", strokeWidth=4), words.mark_text(**style, color=INK)]
    return draw(alt.layer(*layers), HALF, 42 * len(order))


def waterfall(row: dict) -> str:
    """Start, every movement that moved anything, end. Steps float, so that small ones show beside a large pipeline."""
    level = float(row["starting_amount"])
    steps = [_step("Start of week", level, level)]
    for movement, label in MOVEMENTS.items():
        amount = float(row[f"{movement}_amount"] or 0)
        if amount:
            steps.append(_step(label, level, level + amount))
            level += amount
    end = float(row["ending_amount"])
    steps.append(_step("End of week", end, end))
    ends = [step[side] for step in steps for side in ("from", "to")]
    room = (max(ends) - min(ends)) * 0.16 or max(abs(end), 1) * 0.1
    x = alt.X(
        "label:N", sort=[step["label"] for step in steps], title=None,
        axis=alt.Axis(labelAngle=0, domain=False, labelPadding=8, labelExpr="split(datum.label, ' ')"),
    )  # fmt: skip
    y = _money_axis(alt.Y, "from:Q", (min(ends) - room, max(ends) + room), ticks=4)
    base = alt.Chart(_data(steps)).encode(x=x)
    layers = [
        base.transform_filter("datum.kind != 'stock'")
        .mark_bar(size=34)
        .encode(y=y, y2=alt.Y2("to:Q"), color=_in_and_out(), description=SAID),
        base.transform_filter("datum.kind == 'stock'")
        .mark_tick(thickness=4, size=46, color=INK, opacity=1)
        .encode(y=y, description=SAID),
        base.mark_text(dy=-9, color=INK, fontWeight=600).encode(y=alt.Y("top:Q"), text=TEXT),
    ]
    return draw(alt.layer(*layers), WHOLE, 190)


def _step(label: str, before: float, after: float) -> dict:
    change = after - before
    return {
        "label": label, "from": before, "to": after, "top": max(before, after),
        "kind": "in" if change > 0 else "out" if change < 0 else "stock",
        "text": signed(change) if change else money(after),
        "said": f"{label}: {exact(change or after)}",
    }  # fmt: skip


def coverage(rows: Sequence[dict], weeks: int | None = None) -> str:
    """Coverage of what is to go, and what own history says is needed, by week of the quarter; `weeks` it has."""
    lines = {"coverage_remaining": "Coverage", "coverage_needed": "Needed"}
    points = [
        {"week": row["week_of_quarter"], "value": float(row[column]), "line": line, "said": _covered(row, column, line)}
        for row in rows
        for column, line in lines.items()
        if row[column] is not None
    ]
    last = {point["line"]: {**point, "text": f"{point['line']} {point['value']:.1f} x"} for point in points}
    first, now = min(point["week"] for point in points), points[-1]["week"]
    through = max(weeks or 0, now)
    x = alt.X("week:O", title="week of the quarter", axis=alt.Axis(labelAngle=0))
    x = x.scale(domain=list(range(first, through + 1)))
    y = alt.Y("value:Q", title=None).scale(zero=True)
    y = y.axis(labelExpr="datum.label + ' x'", tickCount=4, domain=False)
    colour = alt.Color("line:N", legend=None).scale(domain=list(lines.values()), range=[BLUE, ORANGE])
    base = alt.Chart(_data(points)).encode(x=x, y=y, color=colour)
    ends = alt.Chart(_data(last.values())).encode(x=x, y=y, color=colour, text=TEXT)
    words = {"align": "left", "dx": 8} if now <= 0.7 * through else {"align": "right", "dx": 4, "dy": -13}
    layers = [
        base.mark_line(strokeWidth=2.5),
        base.mark_circle(size=45, opacity=1).encode(description=SAID),
        ends.mark_text(**words, fontWeight=600),
    ]
    return draw(alt.layer(*layers), HALF, 175)


def _covered(row: dict, column: str, line: str) -> str:
    return f"Week {row['week_of_quarter']}: {line.lower()} {float(row[column]):.2f} x"


def levers(rows: Sequence[tuple[str, float, float | None, float | None]]) -> str:
    """Parts of the gap with their intervals. rows: label, part, low, high."""
    bars = [_lever(*row) for row in rows]
    spans = [{"label": label, "low": low, "high": high} for label, _, low, high in rows if low is not None]
    ends = [0.0, *(bar["at"] for bar in bars), *(span[side] for span in spans for side in ("low", "high"))]
    room = (max(ends) - min(ends)) * 0.26  # for the words beside the bars
    y = _rows([label for label, *_ in rows])
    x = _money_axis(alt.X, "part:Q", (min(ends) - room, max(ends) + room))
    base = alt.Chart(_data(bars)).encode(y=y)
    words = {"fontWeight": 600, "color": INK}
    up, down = (base.transform_filter(f"{sign}datum.is_up").encode(x=alt.X("at:Q"), text=TEXT) for sign in ("", "!"))
    layers = [
        base.mark_bar(height=18, cornerRadiusEnd=2).encode(x=x, color=_in_and_out(), description=SAID),
        alt.Chart(_data(spans))
        .mark_rule(color=INK, strokeWidth=1.4)
        .encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"), y=y),
        alt.Chart(_data([{"zero": 0}])).mark_rule(color=SOFT).encode(x=alt.X("zero:Q")),
        up.mark_text(align="left", dx=6, **words),
        down.mark_text(align="right", dx=-6, **words),
    ]
    return draw(alt.layer(*layers), HALF, 44 * len(rows))


def _lever(label: str, part: float, low: float | None, high: float | None) -> dict:
    interval = "" if low is None else f", 95 % interval {exact(low)} to {exact(high)}"
    return {
        "label": label, "part": part, "kind": "out" if part > 0 else "in", "is_up": part > 0, "text": signed(part),
        "at": max(part, high or part) if part > 0 else min(part, low or part),
        "said": f"{label}: {exact(part)}{interval}",
    }  # fmt: skip


def errors(rows: Sequence[dict]) -> str:
    """How far each method was off, by week of the quarter."""
    points = [
        {"week": row["week"], "wape": float(row["wape"]), "method": method_name(row["method"]), "said": _off(row)}
        for row in rows
        if row["wape"] is not None
    ]
    there = dict.fromkeys(point["method"] for point in points)
    names = [name for name in METHODS.values() if name in there]
    names += [name for name in there if name not in names]
    legend = alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=3, columns=4)
    colour = alt.Color("method:N", title=None, legend=legend)
    base = alt.Chart(_data(points)).encode(
        x=alt.X("week:O", title="week of the quarter", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("wape:Q", title=None, axis=alt.Axis(format=".0%", tickCount=4, domain=False)),
        color=colour.scale(domain=names, range=[LINES[place % len(LINES)] for place in range(len(names))]),
    )
    layers = (base.mark_line(strokeWidth=2.2), base.mark_circle(size=30, opacity=1).encode(description=SAID))
    return draw(alt.layer(*layers), HALF, 190)


def _off(row: dict) -> str:
    return f"{method_name(row['method'])}, week {row['week']}: off by {percent(row['wape'], 1)}"


def calibration(rows: Sequence[dict]) -> str:
    """What was said against what came: a circle a bin, larger for more deals; on the line it was right."""
    points = [
        {
            "predicted": float(row["predicted_rate"]), "observed": float(row["observed_rate"]),
            "deals": int(row["deal_count"]),
            "said": f"said {percent(row['predicted_rate'])}, came {percent(row['observed_rate'])} "
            f"of {row['deal_count']:,} deals",
        }
        for row in rows
        if row["observed_rate"] is not None
    ]  # fmt: skip
    share = {"scale": alt.Scale(domain=[0, 1]), "axis": alt.Axis(format=".0%", tickCount=5)}
    right = alt.Chart(_data([{"at": 0}, {"at": 1}])).encode(x=alt.X("at:Q"), y=alt.Y("at:Q"))
    circles = alt.Chart(_data(points)).encode(
        x=alt.X("predicted:Q", title="probability said", **share),
        y=alt.Y("observed:Q", title="share won", **share),
        size=alt.Size("deals:Q", legend=None, scale=alt.Scale(range=[20, 400])),
        description=SAID,
    )
    layers = (
        right.mark_line(color=SOFT, strokeDash=[4, 3], strokeWidth=1.2),
        circles.mark_circle(color=BLUE, opacity=0.85),
    )
    return draw(alt.layer(*layers), HALF, 230)


def method_name(method: str) -> str:
    return METHODS.get(method, method.replace("_", " ").capitalize())


# --- drawing


def draw(chart: alt.LayerChart, width: int, height: int) -> str:
    """The chart as an SVG element without a size of its own, and without a reference out of itself."""
    spec = chart.to_dict(validate=False) | {
        "width": width, "height": height, "autosize": {"type": "fit-x", "contains": "padding"},
        "padding": {"left": 2, "right": 14, "top": 2, "bottom": 2}, "background": "transparent", "config": LOOK,
    }  # fmt: skip
    return _freestanding(vl_convert.vegalite_to_svg(spec))


def _freestanding(svg: str) -> str:
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"| version="[^"]*"', "", svg)
    svg = re.sub(r'<svg class="marks" width="[\d.]+" height="[\d.]+"', '<svg class="chart" role="img"', svg, count=1)
    # Vega numbers ids through the life of the process; here they are the drawing's own, whatever was drawn before it
    ids = dict.fromkeys(re.findall(r' id="([^"]+)"', svg))
    for number, name in enumerate(ids):
        svg = svg.replace(f' id="{name}"', f' id="id-{number}"').replace(f"url(#{name})", f"url(#id-{number})")
    svg = re.sub(r'(id="|#)id-', rf"\1c{zlib.crc32(svg.encode()):08x}-", svg)
    # marks carry their words as a label; as a title they show under the pointer too
    mark = r'<(path|line|rect)\b([^>]*?) aria-label="([^"]*)"([^>]*?)(?:/>|></\1>)'
    return re.sub(mark, r'<\1\2 aria-label="\3"\4><title>\3</title></\1>', svg)


def _rows(order: list[str]) -> alt.Y:
    axis = alt.Axis(domain=False, labelPadding=8, labelLimit=170)
    return alt.Y("label:N", sort=order, title=None, axis=axis)


def _money_axis(channel: type, column: str, domain: tuple[float, float], ticks: int = 5):
    axis = alt.Axis(labelExpr=MONEY, tickCount=ticks, domain=False)
    return channel(column, title=None, axis=axis, scale=alt.Scale(domain=list(domain), zero=False, nice=False))


def _in_and_out() -> alt.Color:
    return alt.Color("kind:N", legend=None).scale(domain=["in", "out"], range=[BLUE, ORANGE])


def _data(rows: Iterable[dict]) -> alt.InlineData:
    """As one text: Altair copies a chart at every step, and would copy each figure with it."""
    return alt.InlineData(values=json.dumps(list(rows)), format=alt.DataFormat(type="json"))
