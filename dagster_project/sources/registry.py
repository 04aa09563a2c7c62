"""The sources that the settings switch on, opened and ready to be read. Not here: the sources themselves."""

from __future__ import annotations

from dagster_project.settings import Settings, UserError, nearest
from dagster_project.sources import Source


def _demo(settings: Settings) -> Source:
    from dagster_project.sources.demo import DemoSource

    cache = settings.warehouse.parent / "demo"
    return DemoSource(settings.demo_size, settings.demo_seed, cache=cache, until=settings.demo_until)


def _files(settings: Settings) -> Source:
    from dagster_project.sources.files import FilesSource

    return FilesSource(settings.files)


def _not_yet(name: str):
    def opened(settings: Settings) -> Source:
        raise UserError(f"WAREHOUSE_SOURCES: {name!r} is not available in this version; use demo or files")

    return opened


_OPENERS = {"demo": _demo, "files": _files} | {name: _not_yet(name) for name in ("salesforce", "hubspot", "gong")}


def open_sources(settings: Settings) -> list[Source]:
    """Each source the settings name, in their order; nothing is read yet. UserError for one that is not known."""
    for name in settings.sources:
        if name not in _OPENERS:
            raise UserError(f"unknown source {name!r}{nearest(name, _OPENERS)}; known: {', '.join(_OPENERS)}")
    return [_OPENERS[name](settings) for name in settings.sources]
