"""Where things are and which sources are on, read once from the environment and checked before anything is touched.

Company settings (calendar, time zone, currency …) are not here: they are dbt vars in `dbt/dbt_project.yml`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("demo", "files", "salesforce", "hubspot", "gong")
WITH_RECORD_PAGES = ("salesforce", "hubspot")  # CRMs whose form of a record's address is known
DEMO_SIZES = ("tiny", "default", "medium", "large", "huge")


class UserError(Exception):
    """Something the user can mend. Its text is one line: what is wrong, where, and how to mend it."""


@dataclass(frozen=True)
class Settings:
    """The warehouse's surroundings.

    files: a folder with a `mapping.yml`, or a mapping file. fields: the field map of the API connectors. as_of: a UTC
    instant, without a zone. crm_urls: for each source system, where its records are seen in a browser.
    """

    warehouse: Path = PROJECT_ROOT / "data" / "warehouse.duckdb"
    published: Path = PROJECT_ROOT / "data" / "published"
    sources: tuple[str, ...] = ("demo",)
    files: Path | None = None
    fields: Path | None = None
    as_of: datetime | None = None
    demo_size: str = "default"
    demo_seed: int = 42
    demo_until: date | None = None
    crm_urls: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the `WAREHOUSE_*` variables (an empty one counts as unset).

        Relative paths start at the project root. Raises UserError for the first value that cannot be used.
        """
        given = {name: text.strip() for name, text in (os.environ if environ is None else environ).items()}
        defaults = cls()
        settings = cls(
            warehouse=_path(given.get("WAREHOUSE_PATH")) or defaults.warehouse,
            published=_path(given.get("WAREHOUSE_PUBLISHED")) or defaults.published,
            sources=_sources(given.get("WAREHOUSE_SOURCES")) or defaults.sources,
            files=_path(given.get("WAREHOUSE_FILES")),
            fields=_path(given.get("WAREHOUSE_FIELDS")),
            as_of=_instant(given.get("WAREHOUSE_AS_OF")),
            demo_size=_demo_size(given.get("WAREHOUSE_DEMO_SIZE")) or defaults.demo_size,
            demo_seed=_seed(given.get("WAREHOUSE_DEMO_SEED"), defaults.demo_seed),
            demo_until=_day(given.get("WAREHOUSE_DEMO_UNTIL")),
            crm_urls=_crm_urls(given.get("WAREHOUSE_CRM_URLS")),
        )
        settings._check_paths()
        _check_memory(given.get("WAREHOUSE_MEMORY"))
        return settings

    def _check_paths(self) -> None:
        if self.warehouse.is_dir():
            raise UserError(f"WAREHOUSE_PATH: {self.warehouse} is a folder; name a file in it")
        if self.published.exists() and not self.published.is_dir():
            raise UserError(f"WAREHOUSE_PUBLISHED: {self.published} is a file; name a folder")
        if self.fields is not None and not self.fields.is_file():
            raise UserError(f"WAREHOUSE_FIELDS: no file at {self.fields}{_nearest_sibling(self.fields)}")
        if "files" not in self.sources:
            return
        if self.files is None:
            raise UserError(
                "WAREHOUSE_FILES is not set but WAREHOUSE_SOURCES names 'files'; set it to the export's folder"
            )
        if not self.files.exists():
            raise UserError(f"WAREHOUSE_FILES: nothing at {self.files}{_nearest_sibling(self.files)}")


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` where a known word is close, else nothing: the tail of an error text."""
    match = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _path(text: str | None) -> Path | None:
    return (PROJECT_ROOT / Path(text).expanduser()).resolve() if text else None


def _check_memory(text: str | None) -> None:
    if text and not re.fullmatch(r"\d+(\.\d+)? ?(MB|GB|TB|MiB|GiB|TiB)", text):
        raise UserError(f"WAREHOUSE_MEMORY: {text!r} is no amount of memory; write it like 3GB or 512MB")


def _nearest_sibling(folder: Path) -> str:
    if not folder.parent.is_dir():
        return f"; {folder.parent} does not exist either"
    return nearest(folder.name, (sibling.name for sibling in folder.parent.iterdir()))


def _sources(text: str | None) -> tuple[str, ...]:
    """The names in one settled order, so that how they are listed changes nothing."""
    names = [name.strip().lower() for name in (text or "").split(",") if name.strip()]
    for name in names:
        if name not in SOURCES:
            raise UserError(
                f"WAREHOUSE_SOURCES: unknown source {name!r}{nearest(name, SOURCES)}; known: {', '.join(SOURCES)}"
            )
        if names.count(name) > 1:
            raise UserError(f"WAREHOUSE_SOURCES: {name!r} is named twice; name each source once")
    if text and not names:
        raise UserError(f"WAREHOUSE_SOURCES: no source in {text!r}; known: {', '.join(SOURCES)}")
    return tuple(sorted(names, key=SOURCES.index))


def _instant(text: str | None) -> datetime | None:
    """A date means its last instant; a time without a zone is UTC."""
    if not text:
        return None
    try:
        if len(text) <= len("2025-06-30"):
            return datetime.combine(date.fromisoformat(text), time.max)
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant
    except (ValueError, OverflowError):
        raise UserError(
            f"WAREHOUSE_AS_OF: cannot read {text!r}; write a date such as 2025-06-30 or an instant such as "
            "2025-06-30T18:00:00Z"
        ) from None


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise UserError(f"WAREHOUSE_DEMO_UNTIL: {text!r} is not a day; write it as 2025-06-30") from None


def _crm_urls(text: str | None) -> tuple[tuple[str, str], ...]:
    """`system=base URL`, comma separated. Salesforce and HubSpot have their own form of a record's address; every other
    system's URL says with `{id}` where the record's id goes."""
    urls = {}
    for part in filter(None, (part.strip() for part in (text or "").split(","))):
        system, _, url = (piece.strip() for piece in part.partition("="))
        if not system or not url.startswith(("https://", "http://")) or len(url.split()) > 1:
            raise UserError(
                f"WAREHOUSE_CRM_URLS: cannot read {part!r}; write <system>=<https://…>, for example "
                "salesforce=https://acme.lightning.force.com"
            )
        if system not in WITH_RECORD_PAGES and "{id}" not in url:
            raise UserError(f"WAREHOUSE_CRM_URLS: the URL of {system!r} needs {{id}} where the record's id goes: {url}")
        if system in urls:
            raise UserError(f"WAREHOUSE_CRM_URLS: {system!r} is named twice; name each system once")
        urls[system] = url
    return tuple(urls.items())


def _demo_size(text: str | None) -> str | None:
    if text and text not in DEMO_SIZES:
        raise UserError(
            f"WAREHOUSE_DEMO_SIZE: unknown size {text!r}{nearest(text, DEMO_SIZES)}; known: {', '.join(DEMO_SIZES)}"
        )
    return text


def _seed(text: str | None, default: int) -> int:
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise UserError(f"WAREHOUSE_DEMO_SEED: {text!r} is not a whole number from 0; write one such as 42")
    return int(text)
