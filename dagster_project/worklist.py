"""The hygiene worklist for people: CSV for tools, an Excel workbook with a sheet a rep, each deal linked to its record.

Written from the published marts, so it shows what everybody else sees. What is wrong with a record and how much money
hangs on it is decided in `dbt/models/hygiene`; here it is only laid out.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import duckdb

from dagster_project import publishing
from dagster_project.settings import Settings, UserError

# How each CRM addresses a deal below the base URL that the settings give.
RECORD = {"salesforce": "/lightning/r/Opportunity/{id}/view", "hubspot": "/record/0-3/{id}"}

# What makes a spreadsheet take a text for a formula, the full-width forms of =, +, - and @ too.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
CELL = 32_000  # characters; Excel holds 32,767
ROWS, LINKS = 1_048_575, 65_000  # of a sheet: below the heading, and as many links as Excel opens
URL = 2_000  # characters; Excel holds 2,079
SHEET_NAME, NOT_IN_SHEET_NAME = 31, "[]:*?/\\"
RESERVED = ("history", "overview")  # Excel's own, and the first sheet

COLUMNS = {  # column of the worklist: heading, width, kind
    "worklist_rank": ("Rank", 6, "count"),
    "severity": ("Severity", 9, "text"),
    "sentence": ("What is wrong", 48, "text"),
    "evidence": ("What shows it", 42, "text"),
    "opportunity_name": ("Deal", 34, "link"),
    "account_name": ("Account", 26, "text"),
    "stage": ("Stage", 20, "text"),
    "forecast_category": ("Category", 11, "text"),
    "close_date": ("Close date", 11, "date"),
    "amount_base": ("Amount", 13, "money"),
    "forecast_amount_at_stake": ("At stake", 13, "money"),
    "first_seen_date": ("Since", 11, "date"),
    "days_standing": ("Days", 6, "count"),
    "owner": ("Mends it", 16, "text"),
    "opportunity_id": ("Record", 22, "text"),
}


@dataclass
class Group:
    """The rows of one rep or one rule. Money counts each deal once, however many rules stand against it."""

    rows: list[dict] = field(default_factory=list)

    @property
    def deals(self) -> dict[str, Decimal]:
        return {row["opportunity_id"]: row["forecast_amount_at_stake"] for row in self.rows}

    @property
    def at_stake(self) -> Decimal:
        return sum(self.deals.values(), Decimal(0))

    def count(self, severity: str) -> int:
        return sum(row["severity"] == severity for row in self.rows)


def write(settings: Settings, folder: Path | None = None, currency: str = "") -> str:
    """Write `worklist.csv` and `worklist.xlsx` from the published marts and tell what they hold and what to do next."""
    release = publishing.served(settings)
    with duckdb.connect(str(publishing.current_marts(settings)), read_only=True) as connection:
        columns, rows = read(connection)
    crm_urls = dict(settings.crm_urls)
    for row in rows:
        row["crm_url"] = record_url(crm_urls, row["source_system"], row["opportunity_id"])
    folder = folder or settings.published / "worklist"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table, book = folder / "worklist.csv", folder / "worklist.xlsx"
        write_csv(table, [*columns, "crm_url"], rows)
        write_workbook(book, rows, str(release), currency)
    except OSError as error:
        raise UserError(f"cannot write the worklist to {folder}: {error.strerror or error}") from None
    return "\n".join(_story(settings, rows, table, book, currency))


def read(connection: duckdb.DuckDBPyConnection) -> tuple[list[str], list[dict]]:
    """Columns and rows of the worklist, in its order."""
    try:
        result = connection.execute("select * from hygiene.worklist order by 1")
    except duckdb.CatalogException:
        raise UserError("the published release has no worklist yet; run the pipeline once (make run)") from None
    columns = [column[0] for column in result.description]
    return columns, [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def record_url(crm_urls: dict[str, str], source_system: str, opportunity_id: str) -> str | None:
    """Where the deal stands in its CRM; a base URL with `{id}` in it is taken as it is."""
    base = crm_urls.get(source_system)
    if base is None:
        return None
    form = base if "{id}" in base else base.rstrip("/") + RECORD[source_system]
    return form.replace("{id}", quote(opportunity_id.removeprefix("hubspot-"), safe=""))


def plain(value: object) -> object:
    """The value; a text that begins like a formula with an apostrophe before it, which makes it text."""
    if not isinstance(value, str):
        return value
    return f"'{value}" if value.lstrip(" ").startswith(FORMULA) else value


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict], encoding: str = "utf-8-sig") -> None:
    """The rows as CSV, replaced whole. The default encoding is the one Excel reads accents by."""
    draft = path.with_name(f".{path.name}")
    with draft.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([plain(row[column]) for column in columns] for row in rows)
    os.replace(draft, path)


# --- the workbook


def write_workbook(path: Path, rows: Sequence[dict], release: str, currency: str) -> None:
    """An overview of reps and rules, then a sheet a rep: who has the most at stake comes first."""
    import xlsxwriter

    reps = grouped(rows, "rep_id")
    sheets = dict(zip(reps, sheet_names(group.rows[0]["rep_name"] for group in reps.values()), strict=True))
    draft = path.with_name(f".{path.name}")
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(draft, options) as book:
        style = {
            "head": book.add_format({"bold": True, "bottom": 1, "valign": "top"}),
            "title": book.add_format({"bold": True, "font_size": 14}),
            "text": book.add_format({"valign": "top", "text_wrap": True}),
            "link": book.add_format({"valign": "top", "text_wrap": True, "font_color": "#0b57d0", "underline": 1}),
            "date": book.add_format({"valign": "top", "num_format": "yyyy-mm-dd"}),
            "money": book.add_format({"valign": "top", "num_format": "#,##0"}),
            "count": book.add_format({"valign": "top", "num_format": "0"}),
        }
        _overview(book.add_worksheet("Overview"), style, rows, reps, sheets, release, currency)
        for rep, group in reps.items():
            _rep_sheet(book.add_worksheet(sheets[rep]), style, group.rows)
    os.replace(draft, path)


def grouped(rows: Iterable[dict], column: str) -> dict[str, Group]:
    """Rows by a column, the group with the most money at stake first."""
    groups: dict[str, Group] = {}
    for row in rows:
        groups.setdefault(row[column], Group()).rows.append(row)
    return dict(sorted(groups.items(), key=lambda item: (-item[1].at_stake, -len(item[1].rows), item[0])))


def sheet_names(names: Iterable[str]) -> list[str]:
    """Names as Excel allows them: short, without its special characters, and each once whatever its case."""
    taken, found = set(RESERVED), []
    for name in names:
        kept = "".join(" " if letter in NOT_IN_SHEET_NAME or not letter.isprintable() else letter for letter in name)
        base = " ".join(kept.split()).strip("'") or "Rep"
        candidate, number = base[:SHEET_NAME].strip(" '"), 1
        while candidate.lower() in taken:
            number += 1
            ending = f" ({number})"
            candidate = base[: SHEET_NAME - len(ending)].strip(" '") + ending
        taken.add(candidate.lower())
        found.append(candidate)
    return found


def _overview(sheet, style, rows, reps, sheets, release: str, currency: str) -> None:
    sheet.set_column(0, 0, 60)
    sheet.set_column(1, 6, 16)
    sheet.write_string(0, 0, "Hygiene worklist", style["title"])
    sheet.write_string(1, 0, release)
    money = f"At stake ({currency})" if currency else "At stake"
    heads = ("Rep", "Team", "Exceptions", "Errors", "Warnings", "Deals", money)
    for column, head in enumerate(heads):
        sheet.write_string(3, column, head, style["head"])
    line = 4
    for rep, group in reps.items():
        first, target = group.rows[0], sheets[rep].replace("'", "''")
        sheet.write_url(line, 0, f"internal:'{target}'!A1", style["link"], str(plain(first["rep_name"]))[:CELL])
        sheet.write_string(line, 1, str(plain(first["team"])), style["text"])
        _numbers(sheet, style, line, 2, group)
        line += 1
    line += 1
    for column, head in enumerate(("Rule", "Severity", *heads[2:])):
        sheet.write_string(line, column, head, style["head"])
    for group in grouped(rows, "rule_id").values():
        line += 1
        sheet.write_string(line, 0, str(plain(group.rows[0]["sentence"])), style["text"])
        sheet.write_string(line, 1, group.rows[0]["severity"], style["text"])
        _numbers(sheet, style, line, 2, group)
    sheet.write_string(line + 2, 0, "At stake: what the forecast counts the deals with, each deal once a line.")
    sheet.freeze_panes(4, 1)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)


def _numbers(sheet, style, line: int, column: int, group: Group) -> None:
    counts = (len(group.rows), group.count("error"), group.count("warning"), len(group.deals))
    for offset, count in enumerate(counts):
        sheet.write_number(line, column + offset, count, style["count"])
    sheet.write_number(line, column + len(counts), group.at_stake, style["money"])


def _rep_sheet(sheet, style, rows: Sequence[dict]) -> None:
    for column, (head, width, _) in enumerate(COLUMNS.values()):
        sheet.set_column(column, column, width)
        sheet.write_string(0, column, head, style["head"])
    for line, row in enumerate(rows[:ROWS], start=1):
        for column, (name, (_, _, kind)) in enumerate(COLUMNS.items()):
            _cell(sheet, style, line, column, kind, row[name], row["crm_url"])
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, min(len(rows), ROWS), len(COLUMNS) - 1)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def _cell(sheet, style, line: int, column: int, kind: str, value: object, url: str | None) -> None:
    if isinstance(value, date):
        sheet.write_datetime(line, column, value, style["date"])
    elif isinstance(value, (int, Decimal)):
        sheet.write_number(line, column, value, style[kind])
    elif kind == "link" and url and len(url) <= URL and line <= LINKS:
        sheet.write_url(line, column, url, style["link"], str(plain(value or "open the record"))[:CELL])
    elif value is not None:
        sheet.write_string(line, column, str(plain(value))[:CELL], style["text"])


def _story(settings: Settings, rows: Sequence[dict], table: Path, book: Path, currency: str) -> list[str]:
    whole = Group(list(rows))
    reps = len({row["rep_id"] for row in rows})
    lines = [
        f"{len(rows):,} exceptions stand against {len(whole.deals):,} deals of {reps:,} reps, "
        f"with {whole.at_stake:,.0f} {currency} of the forecast at stake",
        "",
        f"CSV     {table}",
        f"Excel   {book}",
    ]
    if not all(row["crm_url"] for row in rows):
        known = ", ".join(sorted({row["source_system"] for row in rows if not row["crm_url"]}))
        lines.append(f"Links   none for {known}: set WAREHOUSE_CRM_URLS (docs/add-a-hygiene-rule.md)")
    scores = "select week_end_date, level_id, clean_share from hygiene.scores where level = 'team' order by 1 desc"
    return [*lines, "", f'Next    make sql Q="{scores}"']
