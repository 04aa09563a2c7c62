"""The HubSpot source: a portal's own records by its API, in the shapes of `shapes.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from dagster_project.settings import UserError
from dagster_project.sources import Extract, Table
from dagster_project.sources.api import ApiError, ApiSource, Drift, Stream
from dagster_project.sources.api.fields import FieldMap
from dagster_project.sources.hubspot.access import HubspotAccess
from dagster_project.sources.hubspot.crm import Crm, connected, search_pace
from dagster_project.sources.hubspot.objects import COMPANIES, DEALS, FORECASTS, GOALS, OBJECTS
from dagster_project.sources.hubspot.shapes import TABLES
from dagster_project.sources.hubspot.streams import (
    CompanyStream,
    DealStream,
    Moment,
    ObjectStream,
    OwnerStream,
    PipelineStream,
    Reading,
)

# What is told once and may be told less of later: HubSpot gives the newest values of a property's past only.
NEVER_DELETED = ("deal_property_history", "merged_deal")
NO_SCOPE, NO_SUCH_OBJECT = (403,), (400, 404)  # what HubSpot answers; not every portal has goals and forecasts


class HubspotSource(ApiSource):
    """One portal. fields: where its properties are named otherwise. pause: waits, so that tests need not."""

    origin = "hubspot"

    def __init__(
        self,
        access: HubspotAccess,
        folder: Path,
        say: Callable[[str], None] = print,
        fields: FieldMap | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(folder, say)
        self.access, self.fields = access, fields or FieldMap()
        self.client = connected(access, self.tell, pause)
        self.crm = Crm(self.client, search_pace(access))
        self.drift = Drift(self.folder.parent / "hubspot.fields.json", self.origin, self.tell)

    def tables(self) -> list[Table]:
        return list(TABLES)

    def now(self) -> datetime:
        return self.client.now()

    def reading(self) -> str:
        return self.fields.fingerprint

    def streams(self) -> list[Stream]:
        """An object that the login may not read is left out with a warning, deals excepted."""
        reading = Reading(self._portal(), self.fields.fingerprint, self.access.reconcile_days)
        streams: list[Stream] = [OwnerStream(self.crm), PipelineStream(self.crm)]
        for kind in OBJECTS:
            try:
                there = self.crm.properties(kind.name)
            except ApiError as error:
                left_out = NO_SCOPE + (NO_SUCH_OBJECT if kind in (GOALS, FORECASTS) else ())
                if error.status not in left_out or kind.name == DEALS.name:
                    raise
                self.tell(f"warning: {kind.name} are not read: {error}")
                continue
            wanted = kind.properties(self.fields)
            readable = set(self.drift.readable(kind.name, wanted.values(), there, "removed, or hidden from this app"))
            columns = {column: name for column, name in wanted.items() if name in readable}
            if kind.name == DEALS.name:
                streams.append(DealStream(self.crm, columns, reading, frozenset(there)))
            else:
                stream = CompanyStream if kind.name == COMPANIES.name else ObjectStream
                streams.append(stream(self.crm, kind, columns, reading))
        return streams

    def _portal(self) -> str:
        """The portal's id. UserError where the rows landed before are another portal's."""
        portal = str(self.crm.account()["portalId"])
        for text in self._progress.cursors.values():
            if (before := Moment.read(text).portal) != portal:
                raise UserError(
                    f"HubSpot: this login is for portal {portal}, but the warehouse holds rows of portal {before}; "
                    "log in there, or set WAREHOUSE_PATH to another file"
                )
        return portal

    def extracts(self) -> Iterator[Extract]:
        for extract in super().extracts():
            if extract.table.name in NEVER_DELETED:
                extract = replace(extract, table=replace(extract.table, full=False))
            yield extract
