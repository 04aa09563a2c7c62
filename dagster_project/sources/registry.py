"""The sources that the settings switch on, opened and ready to be read. Not here: the sources themselves."""

from __future__ import annotations

from pathlib import Path

from dagster_project.settings import Settings, UserError, nearest
from dagster_project.sources import Source


def _demo(settings: Settings) -> Source:
    from dagster_project.sources.demo import DemoSource

    cache = settings.warehouse.parent / "demo"
    return DemoSource(settings.demo_size, settings.demo_seed, cache=cache, until=settings.demo_until)


def _files(settings: Settings) -> Source:
    from dagster_project.sources.files import FilesSource

    return FilesSource(settings.files)


def _salesforce(settings: Settings) -> Source:
    from dagster_project.sources.api.fields import read_fields
    from dagster_project.sources.salesforce.access import SalesforceAccess
    from dagster_project.sources.salesforce.shapes import TABLES
    from dagster_project.sources.salesforce.source import SalesforceSource

    access = SalesforceAccess.from_environment()
    return SalesforceSource(
        access, pulls(settings) / "salesforce", fields=read_fields(settings.fields, "salesforce", TABLES)
    )


def _hubspot(settings: Settings) -> Source:
    from dagster_project.sources.api.fields import read_fields
    from dagster_project.sources.hubspot.access import HubspotAccess
    from dagster_project.sources.hubspot.shapes import TABLES
    from dagster_project.sources.hubspot.source import HubspotSource

    access = HubspotAccess.from_environment()
    return HubspotSource(access, pulls(settings) / "hubspot", fields=read_fields(settings.fields, "hubspot", TABLES))


def _gong(settings: Settings) -> Source:
    from dagster_project.sources.gong.access import GongAccess
    from dagster_project.sources.gong.source import GongSource

    return GongSource(GongAccess.from_environment(), pulls(settings) / "gong")


def pulls(settings: Settings) -> Path:
    """Where API connectors keep what they are pulling: beside the warehouse that it is for."""
    return settings.warehouse.with_name(settings.warehouse.name + ".pulls")


_OPENERS = {"demo": _demo, "files": _files, "salesforce": _salesforce, "hubspot": _hubspot, "gong": _gong}


def open_sources(settings: Settings) -> list[Source]:
    """Each source the settings name, in their order; nothing is read yet. UserError for one that is not known."""
    for name in settings.sources:
        if name not in _OPENERS:
            raise UserError(f"unknown source {name!r}{nearest(name, _OPENERS)}; known: {', '.join(_OPENERS)}")
    return [_OPENERS[name](settings) for name in settings.sources]
