"""How HubSpot is read: which records a pull asks for, and the rows they become.

Deals are few and everything stands on them: every pull lists them all, so a merge, a restored deal or a changed
association is seen whether or not HubSpot marked the deal as changed; only changed ones are asked for their history.
Of every other object a pull searches what changed. What was archived is listed whole each time, because archiving moves
no modified date and searches do not find it; HubSpot keeps it for 90 days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster_project.sources.api import Page, Stream
from dagster_project.sources.hubspot.crm import Crm, Link, Record
from dagster_project.sources.hubspot.objects import DEALS, HISTORY, MERGED, TABLE, CrmObject

OVERLAP = timedelta(hours=1)  # searches find a change some minutes late; late commits and skewed clocks
GROUP = 1000  # records that are asked for their associations at once

Row = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """What a cursor is good for: rows of this portal, filled from these properties (the field map's fingerprint).

    reconcile_days: how often everything is read again, which finds what HubSpot never marked as changed or deleted for
    good; 0 for never.
    """

    portal: str
    fields: str
    reconcile_days: int = 0

    def is_due(self, cursor: str | None, now: datetime) -> bool:
        """Whether everything is to be read."""
        last = Moment.read(cursor) if cursor else None
        if last is None or (last.portal, last.fields) != (self.portal, self.fields):
            return True
        return bool(self.reconcile_days) and now - last.reconciled >= timedelta(days=self.reconcile_days)


@dataclass(frozen=True)
class Moment:
    """A cursor: the API's clock when a pull began, when everything was last read, of which portal and how."""

    at: datetime
    reconciled: datetime
    portal: str
    fields: str

    def __str__(self) -> str:
        """Sorts like time."""
        return f"{self.at.isoformat()} {self.reconciled.isoformat()} {self.portal} {self.fields}"

    @classmethod
    def read(cls, text: str) -> Moment:
        at, reconciled, portal, fields = text.split(" ")
        return cls(datetime.fromisoformat(at), datetime.fromisoformat(reconciled), portal, fields)


class ObjectStream(Stream):
    """The records of one object, with the records they are associated with.

    columns: column to property, those the login may see.
    """

    def __init__(self, crm: Crm, kind: CrmObject, columns: Mapping[str, str], reading: Reading) -> None:
        self.crm, self.kind, self.columns, self.reading = crm, kind, dict(columns), reading
        self.name, self.tables = kind.name, (kind.table,)
        self._is_due: dict[str | None, bool] = {}

    def partitions(self, cursor: str | None) -> list[str]:
        now, whose = self.crm.client.now(), (self.reading.portal, self.reading.fields)
        if self.is_due(cursor):
            return [f"{part} - {Moment(now, now, *whose)}" for part in ("live", "archived")]
        last = Moment.read(cursor)
        moment = Moment(now, last.reconciled, *whose)
        return [f"{part} {(last.at - OVERLAP).isoformat()} {moment}" for part in ("changed", "archived")]

    def is_due(self, cursor: str | None) -> bool:
        """Whether everything is to be read; asked twice a pull, answered alike."""
        if cursor not in self._is_due:
            self._is_due[cursor] = self.reading.is_due(cursor, self.crm.client.now())
        return self._is_due[cursor]

    def is_whole(self, cursor: str | None) -> bool:
        return self.is_due(cursor)

    def pages(self, partition: str, resume: str | None) -> Iterator[Page]:
        part, since, moment = partition.split(" ", 2)
        since = None if since == "-" else datetime.fromisoformat(since)
        for records, after in _grouped(self.records(part, since, resume)):
            yield Page(self.rows(records, part, since), resume=after, reached=moment)

    def records(self, part: str, since: datetime | None, resume: str | None):
        names = list(self.columns.values())
        if part == "changed":
            stamp = int(since.replace(tzinfo=UTC).timestamp() * 1000)
            return self.crm.changed(self.name, names, modified=self.kind.modified, since=stamp, after=resume)
        return self.crm.listed(self.name, names, archived=part == "archived", after=resume)

    def rows(self, records: Sequence[Record], part: str, since: datetime | None) -> dict[str, list[Row]]:
        """Table to rows."""
        links = self.links(records) if part != "archived" else {}
        return {self.kind.table.name: [self.row(record) | links.get(record["id"], {}) for record in records]}

    def row(self, record: Record) -> Row:
        told = record["properties"]
        values = {column: told.get(name) for column, name in self.columns.items()}
        return {"id": record["id"], **values, "archived": bool(record.get("archived"))}

    def links(self, records: Sequence[Record]) -> dict[str, Row]:
        """Of each record, one associated record of each kind: the primary one, else the oldest."""
        found: dict[str, Row] = {}
        ids = [record["id"] for record in records]
        for column, to in self.kind.linked.items():
            for id, links in self.crm.associated(self.name, to, ids).items():
                found.setdefault(id, {})[column] = min(links, key=_preference).id
        return found


class CompanyStream(ObjectStream):
    """Companies; of the archived ones also which company they were merged into."""

    def rows(self, records: Sequence[Record], part: str, since: datetime | None) -> dict[str, list[Row]]:
        rows = super().rows(records, part, since)
        if part == "archived":
            ids = {record["id"] for record in records}
            for survivor in self.crm.read(self.name, sorted(ids), [MERGED]):
                for id in ids.intersection(_merged_ids(survivor["properties"].get(MERGED))):
                    [row] = [row for row in rows[self.kind.table.name] if row["id"] == id]
                    row["merged_into_id"] = survivor["id"]
        return rows


class DealStream(ObjectStream):
    """Deals, the past of what matters about them, their companies and contacts, and merges."""

    history = (*HISTORY, MERGED)

    def __init__(self, crm: Crm, columns: Mapping[str, str], reading: Reading, has: frozenset[str]) -> None:
        """has: every property deals have."""
        super().__init__(crm, DEALS, columns, reading)
        self.history = tuple(name for name in self.history if name in has)
        tables = ("deal", "deal_property_history", "merged_deal", "deal_company", "deal_contact")
        self.tables = tuple(TABLE[name] for name in tables)

    def partitions(self, cursor: str | None) -> list[str]:
        return [part.replace("changed", "live") for part in super().partitions(cursor)]

    def is_whole(self, cursor: str | None) -> bool:
        return True

    def records(self, part: str, since: datetime | None, resume: str | None):
        is_archived, names = part == "archived", list(self.columns.values())
        history = () if since else self.history
        return self.crm.listed(self.name, names, history=history, archived=is_archived, after=resume)

    def rows(self, records: Sequence[Record], part: str, since: datetime | None) -> dict[str, list[Row]]:
        told = records
        if since:
            changed = [record["id"] for record in records if _last_touched(record, self.kind.modified) >= since]
            told = self.crm.read(self.name, changed, [], history=self.history, archived=part == "archived")
        history, merged = [], []
        for record in told:
            past = record.get("propertiesWithHistory") or {}
            history += [row for name in HISTORY for row in _history_rows(record["id"], name, past.get(name) or [])]
            merged += _merged_rows(record["id"], past.get(MERGED) or [])
        rows = {
            "deal": [self.row(record) for record in records],
            "deal_property_history": history,
            "merged_deal": merged,
        }
        return rows if part == "archived" else rows | self.association_rows(records)

    def association_rows(self, records: Sequence[Record]) -> dict[str, list[Row]]:
        ids = [record["id"] for record in records]
        companies = self.crm.associated(self.name, "companies", ids)
        contacts = self.crm.associated(self.name, "contacts", ids)
        return {
            "deal_company": [
                {"deal_id": id, "company_id": link.id, "is_primary": link.is_primary}
                for id, links in companies.items()
                for link in links
            ],
            "deal_contact": [
                {"deal_id": id, "contact_id": link.id, "label": "; ".join(sorted(link.labels)) or None}
                for id, links in contacts.items()
                for link in links
            ],
        }


class OwnerStream(Stream):
    """Owners, those that left too."""

    name, tables = "owners", (TABLE["owner"],)

    def __init__(self, crm: Crm) -> None:
        self.crm = crm

    def partitions(self, cursor: str | None) -> list[str]:
        return ["archived", "active"]  # who comes back meanwhile is read as active

    def is_whole(self, cursor: str | None) -> bool:
        return True

    def pages(self, partition: str, resume: str | None) -> Iterator[Page]:
        rows = [self._row(owner) for owner in self.crm.owners(archived=partition == "archived")]
        yield Page({"owner": rows})

    def _row(self, owner: Record) -> Row:
        teams = owner.get("teams") or []
        main = [team["name"] for team in teams if team.get("primary")] or [team["name"] for team in teams]
        user = owner.get("userId") or owner.get("userIdIncludingInactive")
        return {**owner, "userId": user, "teamName": main[0] if main else None}


class PipelineStream(Stream):
    """Deal pipelines and their stages; one that is gone is landed as deleted."""

    name, tables = "pipelines", (TABLE["deal_pipeline"], TABLE["deal_pipeline_stage"])

    def __init__(self, crm: Crm) -> None:
        self.crm = crm

    def partitions(self, cursor: str | None) -> list[str]:
        return ["all"]

    def is_whole(self, cursor: str | None) -> bool:
        return True

    def pages(self, partition: str, resume: str | None) -> Iterator[Page]:
        pipelines = self.crm.pipelines()
        stages = [
            {
                **stage,
                "pipeline_id": pipeline["id"],
                "isClosed": stage.get("metadata", {}).get("isClosed"),
                "probability": stage.get("metadata", {}).get("probability"),
            }
            for pipeline in pipelines
            for stage in pipeline["stages"]
        ]
        yield Page({"deal_pipeline": pipelines, "deal_pipeline_stage": stages})


def _grouped(pages: Iterator[tuple[list[Record], str | None]]) -> Iterator[tuple[list[Record], str | None]]:
    """Pages joined, to ask for the associations of many records at once."""
    group: list[Record] = []
    for records, after in pages:
        group += records
        if len(group) >= GROUP or after is None:
            yield group, after
            group = []


def _preference(link: Link) -> tuple[bool, int, str]:
    return not link.is_primary, len(link.id), link.id


def _last_touched(record: Record, modified: str) -> datetime:
    """The newest of the instants a record tells of itself."""
    told = (record["properties"].get(modified), record.get("updatedAt"), record.get("archivedAt"))
    return max((_instant(text) for text in told if text), default=datetime.max)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def _history_rows(id: str, name: str, versions: Sequence[Record]) -> list[Row]:
    return [
        {
            "deal_id": id,
            "property": name,
            "value": version.get("value"),
            "changed_at": version["timestamp"],
            "source_type": version.get("sourceType"),
            "updated_by_user_id": version.get("updatedByUserId"),
        }
        for version in versions
    ]


def _merged_ids(value: str | None) -> list[str]:
    return [id.strip() for id in (value or "").split(";") if id.strip()]


def _merged_rows(survivor: str, versions: Sequence[Record]) -> list[Row]:
    """When each deal that went into this one did: at the first version of the list that names it."""
    merged_at: dict[str, str] = {}
    for version in sorted(versions, key=lambda version: _instant(version["timestamp"])):
        for id in _merged_ids(version.get("value")):
            merged_at.setdefault(id, version["timestamp"])
    return [{"merged_deal_id": id, "deal_id": survivor, "merged_at": at} for id, at in merged_at.items()]
