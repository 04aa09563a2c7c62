"""The weekly report: one page a sales manager reads in print or on a screen, made from the published marts alone.

`marts.py` reads, `charts.py` draws, `page.py` lays out; here they are put together and written. What a number means is
dbt's business. The page needs no other file and no script: charts are vector pictures within it.
"""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from dagster_project import publishing
from dagster_project.settings import Settings, UserError
from dagster_project.warehouse import engine_settings

PAGE = "weekly_report.html"


def write_beside(database: Path, currency: str = "") -> Path:
    """Write the report of a marts database into its folder and return it."""
    return _write(database.with_name(PAGE), page_of(database, currency))


def write(settings: Settings, folder: Path | None = None, currency: str = "") -> str:
    """Write the report of what is served now and say where it is. UserError before the first release."""
    folder = folder or settings.published / "report"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        page = _write(folder / PAGE, page_of(publishing.current_marts(settings), currency))
    except OSError as error:
        raise UserError(f"cannot write the report to {folder}: {error.strerror or error}") from None
    told = "Open it in a browser, or print it: the company first, then each team on pages of its own."
    return f"{page}\n\n{publishing.served(settings)}\n{told}"


def page_of(database: Path, currency: str = "") -> str:
    """The page of a marts database."""
    from dagster_project.report.marts import read
    from dagster_project.report.page import render  # Altair takes a second to import

    with duckdb.connect(str(database), read_only=True, config=engine_settings()) as connection:
        return render(read(connection, currency))


def _write(page: Path, text: str) -> Path:
    draft = page.with_name(f".{page.name}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, page)
    return page
