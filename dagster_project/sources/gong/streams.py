"""How Gong is read: users whole, calls by windows of their date.

Gong tells neither when a call changed nor that one was deleted. Calls of the last days are read again with each pull,
because their parties, CRM records and transcripts are completed after the call; a call deleted later stays.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from types import MappingProxyType
from typing import Any

from dagster_project.settings import UserError
from dagster_project.sources.api import ApiError, Client, Page, Stream
from dagster_project.sources.gong.shapes import TABLES

TABLE = {table.name: table for table in TABLES}
WANTED = {"context": "Basic", "exposedFields": {"parties": True, "content": {"trackers": True}}}  # beside its facts

Row = dict[str, Any]


class UserStream(Stream):
    """Users, inactive ones too."""

    name, tables = "users", (TABLE["user"],)

    def __init__(self, client: Client) -> None:
        self.client = client

    def partitions(self, cursor: str | None) -> list[str]:
        return ["all"]

    def is_whole(self, cursor: str | None) -> bool:
        return True

    def pages(self, partition: str, resume: str | None) -> Iterator[Page]:
        after = None
        while True:
            answer = self.client.get("/v2/users", {"cursor": after} if after else None)
            yield Page({"user": answer["users"]})
            after = _next(answer, after)
            if after is None:
                return


class DatedStream(Stream):
    """What is asked for by the date of the call: a month a window, the last one open-ended.

    path: where it is asked for. found: the list in the answer. body: what the request says beside filter and cursor.
    """

    path: str
    found: str
    body: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, client: Client, since: date, lookback_days: int) -> None:
        self.client, self.since, self.lookback = client, since, timedelta(days=lookback_days)

    def partitions(self, cursor: str | None) -> list[str]:
        now = self.client.now()
        start = datetime.combine(self.since, time.min)
        if cursor:
            start = max(start, datetime.fromisoformat(cursor) - self.lookback)
        bounds = [start, *_months_between(start, now)]
        ends = [f"{bound.isoformat()}Z" for bound in bounds[1:]] + [""]
        return [f"{bound.isoformat()}Z/{end} {now.isoformat()}" for bound, end in zip(bounds, ends, strict=True)]

    def is_whole(self, cursor: str | None) -> bool:
        return False

    def pages(self, partition: str, resume: str | None) -> Iterator[Page]:
        window, moment = partition.split(" ")
        start, end = window.split("/")
        chosen = {"fromDateTime": start} | ({"toDateTime": end} if end else {})
        after = resume
        while True:
            answer = self._asked(chosen, after, is_resumed=after is not None and after == resume)
            if answer is None:
                yield Page({}, reached=moment)
                return
            after = _next(answer, after)
            yield Page(self.rows(answer[self.found]), resume=after, reached=moment)
            if after is None:
                return

    def _asked(self, chosen: Row, after: str | None, is_resumed: bool) -> Row | None:
        """One page; None where the window has no calls, which Gong answers with 404. Where the mark to go on from has
        expired, the window is begun anew."""
        body = {"filter": chosen, **self.body} | ({"cursor": after} if after else {})
        try:
            return self.client.post(self.path, body)
        except ApiError as error:
            if is_resumed and error.status in (400, 404):
                return self._asked(chosen, None, is_resumed=False)
            if error.status == 404:
                return None
            raise

    @abstractmethod
    def rows(self, told: list[Row]) -> dict[str, list[Row]]:
        """Table to the rows of one answer."""


class CallStream(DatedStream):
    """Calls with their parties, CRM records and trackers; of a tracker the count, not the words."""

    name, tables = "calls", tuple(TABLE[name] for name in ("call", "call_party", "call_context", "call_tracker"))
    path, found, body = "/v2/calls/extensive", "calls", MappingProxyType({"contentSelector": WANTED})

    def rows(self, told: list[Row]) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = {table.name: [] for table in self.tables}
        for call in told:
            id = call["metaData"]["id"]
            rows["call"].append(call["metaData"])
            rows["call_party"] += [{**party, "call_id": id} for party in call.get("parties") or []]
            trackers = (call.get("content") or {}).get("trackers") or []
            rows["call_tracker"] += [{**tracker, "call_id": id} for tracker in trackers]
            rows["call_context"] += [
                {
                    "call_id": id,
                    "system": context.get("system"),
                    "object_type": each.get("objectType"),
                    "object_id": each.get("objectId"),
                }
                for context in call.get("context") or []
                for each in context.get("objects") or []
            ]
        return rows


class TranscriptStream(DatedStream):
    """What was said in the calls, sentence by sentence, numbered from 1 in each call."""

    name, tables = "transcripts", (TABLE["call_transcript"],)
    path, found = "/v2/calls/transcript", "callTranscripts"

    def rows(self, told: list[Row]) -> dict[str, list[Row]]:
        rows = []
        for call in told:
            spoken = [(part, each) for part in call.get("transcript") or [] for each in part.get("sentences") or []]
            rows += [
                {
                    "call_id": call["callId"],
                    "sentence": number,
                    "speakerId": part.get("speakerId"),
                    "topic": part.get("topic"),
                    "start_ms": each.get("start"),
                    "end_ms": each.get("end"),
                    "text": each.get("text"),
                }
                for number, (part, each) in enumerate(spoken, start=1)
            ]
        return {"call_transcript": rows}


def _next(answer: Row, before: str | None) -> str | None:
    after = (answer.get("records") or {}).get("cursor")
    if after and after == before:
        raise UserError("Gong names a page as its own next one; run again later")
    return after or None


def _months_between(start: datetime, end: datetime) -> Iterator[datetime]:
    """The first instant of every month after `start`, up to `end`."""
    year, month = start.year, start.month
    while True:
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        bound = datetime(year, month, 1)
        if bound >= end:
            return
        yield bound
