"""Questions to Salesforce: SOQL by REST for what is small, by Bulk API 2.0 for what is large. Rows come as Arrow text.

`queryAll` throughout, so that deleted and archived records are among the rows. What arrived is counted against what
Salesforce says there is: a page that is cut off, or comes twice, is asked for again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.csv as pc

from dagster_project.sources.api import Again, ApiError, Client, Dialect, QuotaExhausted, Unavailable
from dagster_project.sources.api.batches import batch

ROWS_PER_BULK_PAGE = 50_000
REST_ROWS = 20_000  # ten pages; beyond that one bulk job costs fewer requests
POLLS = (1, 2, 4, 8, 15, 30)  # seconds between looks at a job, the last one over and over
JOB_SECONDS = 6 * 3600
TRIES = 3  # of a whole query whose rows do not add up


def _error(response: httpx.Response) -> tuple[str, str]:
    try:
        body = response.json()
        first = body[0] if isinstance(body, list) else body
        return str(first.get("errorCode", "")), str(first.get("message", ""))
    except (ValueError, AttributeError, IndexError):
        return "", response.text[:200]


def _usage(headers: httpx.Headers) -> tuple[int, int] | None:
    """`Sforce-Limit-Info: api-usage=18/5000`"""
    told = headers.get("sforce-limit-info", "").partition("api-usage=")[2].partition(";")[0].strip()
    used, _, granted = told.partition("/")
    return (int(used), int(granted)) if used.isdigit() and granted.isdigit() else None


DIALECT = Dialect(
    error=_error,
    passing=frozenset({"QUERY_TIMEOUT", "SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW", "UNKNOWN_EXCEPTION"}),
    exhausted=frozenset({"REQUEST_LIMIT_EXCEEDED", "EXCEEDED_QUOTA", "API_LIMIT_EXCEEDED"}),
    expired=frozenset({"INVALID_SESSION_ID"}),
    usage=_usage,
    hint={
        "API_DISABLED_FOR_ORG": "this edition or user has no API access: give the user the permission 'API Enabled'",
        "INSUFFICIENT_ACCESS": "give the user read access (docs/connect-a-crm.md)",
        401: "the login was refused again right after it was renewed: see the connected app's policies",
    },
)


@dataclass(frozen=True)
class Place:
    """Where in the answer to a query the next page begins: a REST address or a job with a locator; rows told so far."""

    rows: int = 0
    total: int | None = None
    url: str | None = None
    job: str | None = None
    locator: str | None = None

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str | None) -> Place | None:
        return cls(**json.loads(text)) if text else None


class Salesforce:
    """The questions, asked by one client."""

    def __init__(self, client: Client, api_version: str) -> None:
        self.client, self.root = client, f"/services/data/v{api_version}"

    def describe(self, name: str) -> dict[str, Any] | None:
        """What this login can see of an object; None where there is none, or no right to it."""
        try:
            return self.client.get(f"{self.root}/sobjects/{name}/describe")
        except ApiError as error:
            if error.status == 404 or error.code in ("NOT_FOUND", "INVALID_TYPE", "INSUFFICIENT_ACCESS"):
                return None
            raise

    def records(self, soql: str) -> list[dict[str, Any]]:
        """All rows of a query known to be small."""
        answer = self.client.get(f"{self.root}/query", {"q": soql})
        found = list(answer["records"])
        while not answer["done"]:
            answer = self.client.get(answer["nextRecordsUrl"])
            found += answer["records"]
        return found

    def count(self, name: str) -> int | None:
        """How many records an object has, deleted ones too; None where it is too large to be counted in time."""
        try:
            return self.client.get(f"{self.root}/queryAll", {"q": f"SELECT COUNT() FROM {name}"})["totalSize"]
        except (ApiError, Unavailable):
            return None

    def rows(
        self, soql: str, fields: Sequence[str], bulk: bool, resume: str | None = None, is_large: bool = False
    ) -> Iterator[tuple[pa.RecordBatch, str | None]]:
        """Pages of a query with where the next one begins, from the start or from there; columns named as the fields.

        By REST, or in bulk where it is allowed (`bulk`) and there are many rows, which the first answer by REST tells
        unless it is known before (`is_large`). When the rows do not add up, or a
        place to resume at has expired, the query begins again: rows may come twice.
        """
        place = Place.of(resume)
        for attempt in range(1, TRIES + 1):
            try:
                yield from self._rows(soql, fields, bulk, place, is_large)
                return
            except _DoesNotAddUp as error:
                self.client.say(f"warning: {self.client.name}: {error}; asking again from its beginning")
                if attempt == TRIES:
                    raise Unavailable(f"{self.client.name}: {error}, {TRIES} times over") from None
                place = None

    def _rows(self, soql: str, fields: Sequence[str], bulk: bool, place: Place | None, is_large: bool):
        if (place and place.job) or (place is None and bulk and is_large):
            yield from self._bulk_rows(soql, fields, place)
            return
        place = place or Place(url=f"{self.root}/queryAll")
        params = {"q": soql} if place.total is None else None
        answer = self._page(place.url, params)
        if place.total is None and bulk and answer["totalSize"] > REST_ROWS:
            yield from self._bulk_rows(soql, fields, None)
            return
        yield from self._rest_rows(fields, place, answer)

    def _page(self, url: str, params: dict | None) -> dict[str, Any]:
        try:
            return self.client.get(url, params)
        except ApiError as error:
            if error.code in ("INVALID_QUERY_LOCATOR", "INVALID_LOCATOR") or (error.status == 404 and not params):
                raise _DoesNotAddUp("the place to go on from has expired") from None
            raise

    def _rest_rows(self, fields: Sequence[str], place: Place, answer: dict[str, Any]):
        rows, seen, known = place.rows, set(), place.rows
        while True:
            records = answer["records"]
            rows += len(records)
            seen.update(record["Id"] for record in records if record.get("Id"))
            is_last, total = answer["done"], answer["totalSize"]
            if rows > total or (seen and known + len(seen) != rows) or (is_last and rows != total):
                raise _DoesNotAddUp(f"{rows:,} rows, {known + len(seen):,} of them different, of {total:,} arrived")
            following = None if is_last else answer["nextRecordsUrl"]
            resume = None if is_last else Place(rows, total, url=following).text()
            yield batch([{field: _valued(record, field) for field in fields} for record in records], fields), resume
            if is_last:
                return
            answer = self._page(following, None)

    def _bulk_rows(self, soql: str, fields: Sequence[str], place: Place | None):
        job = place.job if place else self._create_job(soql)
        total = self._wait_for(job)
        rows, locator, firsts = (place.rows, place.locator, set()) if place else (0, None, set())
        while True:
            page, following = self._bulk_page(job, locator, fields)
            if len(page):
                first = page.column(0)[0].as_py()
                if first in firsts:
                    raise _DoesNotAddUp("a page came twice")
                firsts.add(first)
            rows += len(page)
            if following is None and rows != total:
                raise _DoesNotAddUp(f"{rows:,} rows of {total:,} arrived")
            yield page, None if following is None else Place(rows, total, job=job, locator=following).text()
            if following is None:
                return
            locator = following

    def _create_job(self, soql: str) -> str:
        body = {"operation": "queryAll", "query": soql, "contentType": "CSV", "columnDelimiter": "COMMA",
                "lineEnding": "LF"}  # fmt: skip
        return self.client.post(f"{self.root}/jobs/query", body)["id"]

    def _wait_for(self, job: str) -> int:
        """Until the job is done; the number of its rows."""
        waited = looks = 0
        while True:
            try:
                told = self.client.get(f"{self.root}/jobs/query/{job}")
            except ApiError as error:
                if error.status == 404:
                    raise _DoesNotAddUp("the bulk job is gone") from None
                raise
            state = told["state"]
            if state == "JobComplete":
                return int(told["numberRecordsProcessed"])
            if state in ("Failed", "Aborted"):
                reason = self.client.clean(str(told.get("errorMessage") or "no reason given"))
                if "ExceededQuota" in reason:
                    raise QuotaExhausted(f"{self.client.name}: {reason}; run again later and it goes on from there")
                raise _DoesNotAddUp(f"the bulk job is {state.lower()}: {reason}")
            if waited > JOB_SECONDS:
                raise Unavailable(f"{self.client.name}: a bulk job is not done after {waited / 3600:.0f} hours")
            seconds = POLLS[min(looks, len(POLLS) - 1)]
            self.client.pause(seconds)
            waited, looks = waited + seconds, looks + 1

    def _bulk_page(self, job: str, locator: str | None, fields: Sequence[str]) -> tuple[pa.RecordBatch, str | None]:
        params = {"maxRecords": ROWS_PER_BULK_PAGE} | ({"locator": locator} if locator else {})

        def read() -> tuple[pa.RecordBatch, str | None]:
            path = f"{self.root}/jobs/query/{job}/results"
            with self.client.open("GET", path, params=params, headers={"Accept": "text/csv"}) as response:
                page = _parsed(response.read(), fields)
                told = response.headers.get("sforce-numberofrecords", "")
                following = response.headers.get("sforce-locator", "null")
            if told.isdigit() and len(page) != int(told):
                raise Again(f"a page of results has {len(page):,} rows of {int(told):,}")
            return page, None if following in ("null", "") else following

        try:
            return self.client.repeat(read)
        except ApiError as error:
            if error.code in ("INVALID_LOCATOR", "INVALIDLOCATOR") or error.status == 404:
                raise _DoesNotAddUp("the place to go on from has expired") from None
            raise


class _DoesNotAddUp(Exception):
    """The answers to one query do not make a whole."""


def _parsed(content: bytes, fields: Sequence[str]) -> pa.RecordBatch:
    """A page of CSV as text columns named as the fields; `Again` where it breaks off within a row."""
    shape = {field: pa.string() for field in fields}
    if not content.strip():
        return batch([], fields)
    try:
        table = pc.read_csv(
            io.BytesIO(content),
            parse_options=pc.ParseOptions(newlines_in_values=True),
            convert_options=pc.ConvertOptions(
                column_types=shape, include_columns=list(fields), null_values=[""], strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )  # fmt: skip
    except (pa.ArrowInvalid, KeyError, pa.ArrowKeyError) as error:
        raise Again(f"a page of results cannot be read: {str(error).splitlines()[0]}") from None
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else batch([], fields)


def _valued(record: dict[str, Any], field: str) -> Any:
    """A field's value; `UserRole.Name` looks into the related record."""
    value: Any = record
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
