"""Gong's API over the demo company's calls, as its OpenAPI description says.

Real: Basic login, 404 where a window holds no calls, pages with cursors that expire, 429 with `Retry-After`, windows by
the scheduled time of web conferences and the start of other calls, context, parties and trackers only where they are
asked for. The company's calls have no trackers and were not transcribed but for what a test makes up.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.emulators.base import Company, Server, server_of, serving

KEY, SECRET = "GONG-KEY", "gong-secret-1234"
NAMED = {"Deal": "Opportunity", "Company": "Account"}  # whatever the CRM calls them, the description has two names only
HEARD = "words that nobody asked for"
LOGIN = "Basic " + b64encode(f"{KEY}:{SECRET}".encode()).decode()


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Recorder(Company):
    """The company as Gong holds it.

    page: calls an answer holds at most. generation: cursors of an earlier one have expired. answers: what was answered,
    by path template, while `keep_answers` is set.
    """

    def __init__(self, folder: Path) -> None:
        self._cache: dict[str, tuple[datetime, Any]] = {}
        super().__init__(folder, "raw_gong")
        self.page = 100
        self.generation = 0
        self.keep_answers = False
        self.answers: list[tuple[str, str, int, Any]] = []

    def forget(self, name: str) -> None:
        super().forget(name)
        self._cache.clear()

    def cached(self, key: str, made: Callable[[], Any]) -> Any:
        found = self._cache.get(key)
        if found is None or found[0] != self.clock:
            found = self._cache[key] = (self.clock, made())
        return found[1]

    def calls(self) -> list[tuple[datetime, dict]]:
        """Every call with the instant windows go by, in that order."""
        return self.cached("calls", self._calls)

    def _calls(self) -> list[tuple[datetime, dict]]:
        contexts: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
        for row in self.rows(f"select * from {self.present('call_context')} order by call_id, object_type"):
            told = {
                "objectType": NAMED.get(row["object_type"], row["object_type"]),
                "objectId": row["object_id"],
                "timing": "Now",
            }
            contexts[row["call_id"]][row["system"]].append(told)
        parties: dict[str, list[dict]] = defaultdict(list)
        for row in self.rows(f"select * from {self.present('call_party')} order by call_id, id"):
            told = {name: row[name] for name in ("id", "emailAddress", "name", "userId", "speakerId", "affiliation")}
            told = {name: value for name, value in told.items() if value is not None}
            parties[row["call_id"]].append({**told, "methods": ["Attendee"]})
        found = []
        trackers: dict[str, list[dict]] = defaultdict(list)
        for row in self.rows(f"select * from {self.present('call_tracker')} order by call_id, id"):
            told = {name: row[name] for name in ("id", "name", "count", "type")}
            heard = [{"startTime": 12.5, "speakerId": "1"}] * row["count"]
            words = [{"phrase": HEARD, "count": row["count"], "occurrences": heard}]
            trackers[row["call_id"]].append({**told, "occurrences": [], "phrases": words})
        for row in self.rows(f"select * from {self.present('call')} order by id"):
            at = row["scheduled"] if row["direction"] == "Conference" else row["started"]
            told = {name: row[name] for name in self.tables["call"].columns}
            told |= {"scheduled": stamp(row["scheduled"]), "started": stamp(row["started"]), "media": "Video"}
            told |= {"url": f"https://app.gong.io/call?id={row['id']}", "language": "eng"}
            context = [{"system": system, "objects": every} for system, every in contexts[row["id"]].items()]
            content = {"trackers": trackers[row["id"]], "brief": HEARD}
            call = {"metaData": told, "context": context, "parties": parties[row["id"]], "content": content}
            found.append((at, call))
        return sorted(found, key=lambda pair: (pair[0], pair[1]["metaData"]["id"]))

    def transcripts(self) -> dict[str, list[dict]]:
        """Call to what was said in it, a monologue for each run of sentences of one speaker and topic."""
        return self.cached("transcripts", self._transcripts)

    def _transcripts(self) -> dict[str, list[dict]]:
        found: dict[str, list[dict]] = defaultdict(list)
        for row in self.rows(f"select * from {self.present('call_transcript')} order by call_id, sentence"):
            said = found[row["call_id"]]
            if not said or (said[-1]["speakerId"], said[-1]["topic"]) != (row["speakerId"], row["topic"]):
                said.append({"speakerId": row["speakerId"], "topic": row["topic"], "sentences": []})
            said[-1]["sentences"].append({"start": row["start_ms"], "end": row["end_ms"], "text": row["text"]})
        return found


def stamp(instant: datetime | None) -> str | None:
    """In an offset of its own, as Gong writes instants."""
    return instant.replace(tzinfo=UTC).isoformat() if instant else None


def error(status: int, headers: dict[str, str]) -> Response:
    """How Gong words a status of the base's faults."""
    said = {429: "API rate limit exceeded", 401: f"login {LOGIN} failed"}.get(
        status, "Failed to complete the operation"
    )
    return JSONResponse({"requestId": "4al018gzaztcr8nbukw", "errors": [said]}, status, headers)


@contextmanager
def recorder(folder: Path) -> Iterator[tuple[Server, Recorder]]:
    """A running emulator of the company in the folder."""
    held = Recorder(folder)
    with serving(routes(held), held, error) as server:
        yield server, held


def routes(recorder: Recorder) -> list[Route]:
    def answering(path: str, method: str):
        def decorated(answer):
            @wraps(answer)
            async def endpoint(request: Request) -> Response:
                status = 200
                try:
                    if request.headers.get("authorization") != LOGIN:
                        raise Refused(401, "Invalid or missing credentials")
                    body = {"requestId": "4al018gzaztcr8nbukw", **await answer(request)}
                except Refused as refused:
                    status = refused.status
                    body = {"requestId": "4al018gzaztcr8nbukw", "errors": [str(refused)]}
                if recorder.keep_answers:
                    recorder.answers.append((path, method, status, json.loads(json.dumps(body))))
                return JSONResponse(body, status)

            return Route(path, endpoint, methods=[method.upper()])

        return decorated

    @answering("/v2/users", "get")
    async def users(request: Request) -> dict:
        rows = recorder.rows(f"select * from {recorder.present('user')} order by id")
        chosen, records = _page(recorder, rows, request.query_params.get("cursor"), 100)
        told = [{**row, "created": stamp(row["created"]), "emailAliases": []} for row in chosen]
        for user in told:
            user.pop("_extracted_at")
            if user["managerId"] is None:
                user.pop("managerId")
        return {"records": records, "users": told}

    @answering("/v2/calls/extensive", "post")
    async def calls(request: Request) -> dict:
        body = await request.json()
        wanted, found = body.get("contentSelector", {}), _within(recorder, body["filter"])
        page, records = _page(recorder, found, body.get("cursor"), recorder.page)
        if server_of(request).faults.take(f"POST {request.url.path}", "duplicate"):
            page = [*page, *page]
        shown = []
        for call in page:
            told = {"metaData": call["metaData"]}
            if wanted.get("context", "None") != "None":
                told["context"] = call["context"]
            if wanted.get("exposedFields", {}).get("parties"):
                told["parties"] = call["parties"]
            if exposed := [name for name, is_in in wanted["exposedFields"].get("content", {}).items() if is_in]:
                told["content"] = {name: call["content"][name] for name in exposed}
            shown.append(told)
        return {"records": records, "calls": shown}

    @answering("/v2/calls/transcript", "post")
    async def transcripts(request: Request) -> dict:
        body = await request.json()
        said, found = recorder.transcripts(), _within(recorder, body["filter"])
        page, records = _page(recorder, found, body.get("cursor"), recorder.page)
        ids = [id for call in page if (id := call["metaData"]["id"]) in said]
        return {"records": records, "callTranscripts": [{"callId": id, "transcript": said[id]} for id in ids]}

    return [users, calls, transcripts]


def _within(recorder: Recorder, chosen: dict) -> list[dict]:
    """The calls of a window."""
    start, end = (_instant(chosen.get(name)) for name in ("fromDateTime", "toDateTime"))
    found = [call for at, call in recorder.calls() if (not start or at >= start) and (not end or at < end)]
    if not found:
        raise Refused(404, "No calls found corresponding to the provided filters")
    return found


def _page(recorder: Recorder, every: list, cursor: str | None, size: int) -> tuple[list, dict]:
    start = 0
    if cursor:
        generation, _, place = cursor.partition("-")
        if not place.isdigit() or int(generation) != recorder.generation:
            raise Refused(400, "cursor has expired")
        start = int(place)
    page = every[start : start + size]
    records = {"totalRecords": len(every), "currentPageSize": len(page), "currentPageNumber": start // size}
    if start + size < len(every):
        records["cursor"] = f"{recorder.generation}-{start + size}"
    return page, records


def _instant(told: str | None) -> datetime | None:
    return datetime.fromisoformat(told).astimezone(UTC).replace(tzinfo=None) if told else None
