"""HubSpot's CRM API over the demo company's SMB business, as the public documentation describes it.

Real: paging by id with `after`, the most records and ids a request may ask for, searches that end at a ceiling and do
not find archived records, history newest first, associations with labels that an archived record no longer has, merged
records that answer as the one they went into, bearer and refresh tokens, missing scopes, hidden properties, daily quota
headers. Left out: everything that writes. The company has no goals and forecasts but those a
test makes up.

The demo lets some history arrive weeks after its change, which HubSpot does not do: `updatedAt` then says when it
arrived.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dagster_project.sources.hubspot.objects import DEALS, ENGAGEMENTS, HISTORY, MERGED, OBJECTS
from tests.emulators.base import Company, Server, server_of, serving

KINDS = {kind.name: kind for kind in OBJECTS}
TOKEN = "pat-test-token"
CLIENT = {"client_id": "app", "client_secret": "app-secret", "refresh_token": "refresh-me"}
ENGAGEMENT_TABLES = tuple(kind.table.name for kind in ENGAGEMENTS)
ASSOCIATED = {"companies": "company_id", "contacts": "contact_id", "deals": "deal_id"}


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, category: str = "VALIDATION_ERROR") -> None:
        super().__init__(message)
        self.status, self.message, self.category = status, message, category


class Portal(Company):
    """The company as HubSpot holds it.

    id: the portal's. page: the most records an answer has, where that is less than was asked for. ceiling: how far a
    search may be paged. hidden: (object, property) the login may not see. closed: objects without scope. said: what a
    property of a record says in place of the company's value, by (object, id, property). daily: requests granted a day,
    and left. tokens: those that are valid. answers: path, method, status and body of what was answered, while
    `keep_answers` is set.
    """

    def __init__(self, folder: Path) -> None:
        self._cache: dict[Any, tuple[datetime, Any]] = {}
        super().__init__(folder, "raw_hubspot")
        self.said: dict[tuple[str, str, str], str] = {}
        self.id = 147893286
        self.page, self.ceiling = 200, 10_000
        self.hidden: set[tuple[str, str]] = set()
        self.closed: set[str] = set()
        self.daily: list[int] | None = None
        self.tokens = {TOKEN}
        self.issued = 0
        self.keep_answers = False
        self.answers: list[tuple[str, str, int, Any]] = []

    def forget(self, name: str) -> None:
        super().forget(name)
        self._cache.clear()

    def reduced(self, folder: Path, deals: int) -> Path:
        """A folder with the files of a smaller company: so many deals, evenly chosen, and what belongs to them."""
        run = self.connection.execute
        merged = "(select unnest([deal_id, merged_deal_id]) from versions_merged_deal)"
        run(f"create table kept as select distinct id from versions_deal where id in {merged}")
        run(
            """
            insert into kept select id from (
                select id, row_number() over (order by id) as nth, count(*) over () as every
                from (select distinct id from versions_deal anti join kept using (id))
            ) where nth % greatest(every // ?, 1) = 0
            """,
            [deals],
        )
        run("delete from versions_deal where id not in (from kept)")
        for table in ("deal_property_history", "deal_company", "deal_contact", *ENGAGEMENT_TABLES):
            run(f"delete from versions_{table} where deal_id not in (from kept)")
        run("delete from versions_company where id not in (select company_id from versions_deal_company)")
        run("delete from versions_contact where associatedcompanyid not in (select id from versions_company)")
        for name in self.tables:
            run(f"copy versions_{name} to '{folder}/raw_hubspot.{name}.parquet'")
        return folder

    def cached(self, key: Any, made: Callable[[], Any]) -> Any:
        """What `made` gives at the present clock."""
        found = self._cache.get(key)
        if found is None or found[0] != self.clock:
            found = self._cache[key] = (self.clock, made())
        return found[1]

    def records(self, name: str, archived: bool) -> dict[str, dict]:
        """Records of an object by id, in the order of their ids."""
        return self.cached(("records", name), lambda: self._records(name))[archived]

    def _records(self, name: str) -> tuple[dict[str, dict], dict[str, dict]]:
        kind = KINDS[name]
        rows = self.rows(f"select * from {self.present(kind.table.name)} order by cast(id as bigint)")
        merged, arrived = (self.merged(), self.arrived()) if name == DEALS.name else ({}, {})
        found: tuple[dict, dict] = ({}, {})
        for row in rows:
            told = {prop: text(row[column]) for column, prop in kind.properties().items()}
            told["hs_object_id"] = row["id"]
            told[MERGED] = merged[row["id"]][-1]["value"] if row["id"] in merged else None
            modified = row["hs_lastmodifieddate"]
            record = {
                "id": row["id"],
                "properties": told,
                "createdAt": text(row["createdate"]),
                "updatedAt": text(max(modified, arrived.get(row["id"], modified))),
                "archived": bool(row["archived"]),
            }
            if row["archived"]:
                record["archivedAt"] = text(row["_extracted_at"])
            found[bool(row["archived"])][row["id"]] = record
        return found

    def merged(self) -> dict[str, list[dict]]:
        """Of deals that others were merged into, the versions of that list, oldest first."""
        found: dict[str, list[dict]] = defaultdict(list)
        rows = self.rows(f"select * from {self.present('merged_deal')} order by merged_at, merged_deal_id")
        for row in rows:
            versions = found[row["deal_id"]]
            value = ";".join(filter(None, [versions[-1]["value"] if versions else "", row["merged_deal_id"]]))
            versions.append({"value": value, "timestamp": text(row["merged_at"]), "sourceType": "MERGE_OBJECTS"})
        return found

    def survivors(self) -> dict[str, str]:
        rows = self.rows(f"select merged_deal_id, deal_id from {self.present('merged_deal')}")
        return {row["merged_deal_id"]: row["deal_id"] for row in rows}

    def arrived(self) -> dict[str, datetime]:
        """When the newest history of a deal arrived, where that was long after the change."""
        table = self.present("deal_property_history")
        late = "where date_diff('day', changed_at, _extracted_at) > 1"
        return {row["deal_id"]: row["at"] for row in self.rows(
            f"select deal_id, max(_extracted_at) as at from {table} {late} group by deal_id"
        )}  # fmt: skip

    def add(self, name: str, **columns) -> None:
        """A new row as of the clock, of a table whose rows do not replace each other."""
        self.change(name, "a key that is not there", **columns)

    def history(self) -> dict[str, dict[str, list[dict]]]:
        """Deal to property to its versions, newest first."""
        return self.cached("history", self._history)

    def _history(self) -> dict[str, dict[str, list[dict]]]:
        found: dict[str, dict[str, list[dict]]] = defaultdict(lambda: {name: [] for name in HISTORY})
        table = self.present("deal_property_history")
        for row in self.rows(f"select * from {table} order by changed_at desc"):
            found[row["deal_id"]][row["property"]].append(
                {
                    "value": row["value"] or "",
                    "timestamp": text(row["changed_at"]),
                    "sourceType": row["source_type"],
                    "updatedByUserId": int(row["updated_by_user_id"]),
                }
            )
        for deal, versions in self.merged().items():
            found[deal][MERGED] = versions[::-1]
        return found

    def associations(self, name: str, to: str) -> dict[str, list[dict]]:
        return self.cached(("associations", name, to), lambda: self._associations(name, to))

    def _associations(self, name: str, to: str) -> dict[str, list[dict]]:
        found: dict[str, list[dict]] = defaultdict(list)
        live = self.records(name, archived=False)
        column = ASSOCIATED[to]
        if name == DEALS.name:
            table = {"companies": "deal_company", "contacts": "deal_contact"}[to]
            for row in self.rows(f"select * from {self.present(table)} order by deal_id, {column}"):
                types = [_type("HUBSPOT_DEFINED", 341 if to == "companies" else 3)]
                if row.get("is_primary"):
                    types.insert(0, _type("HUBSPOT_DEFINED", 5, "Primary"))
                if row.get("label"):
                    types.append(_type("USER_DEFINED", 1, row["label"]))
                if row["deal_id"] in live:
                    found[row["deal_id"]].append({"toObjectId": row[column], "associationTypes": types})
        else:
            table = self.present(KINDS[name].table.name)
            for row in self.rows(f"select id, {column} from {table} where {column} is not null"):
                if row["id"] in live:
                    types = [_type("HUBSPOT_DEFINED", 200)]
                    found[row["id"]].append({"toObjectId": row[column], "associationTypes": types})
        return found

    def shown(self, name: str, record: dict, properties: list[str], history: list[str] = ()) -> dict:
        """A record as it is answered: the properties asked for, those that are not there left out."""
        told = record["properties"]
        names = [each for each in (*properties, "createdate", "hs_lastmodifieddate", "hs_object_id") if each in told]
        said = {each: self.said.get((name, record["id"], each), told[each]) for each in names}
        seen = {each: value for each, value in said.items() if (name, each) not in self.hidden}
        answer = {**record, "properties": seen}
        if history:
            past = self.history().get(record["id"], {})
            answer["propertiesWithHistory"] = {each: past.get(each, []) for each in history}
        return answer


def text(value: Any) -> str | None:
    """A value as HubSpot writes it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


def error(status: int, headers: dict[str, str]) -> Response:
    """How HubSpot words a status of the base's faults."""
    told = {
        429: {"errorType": "RATE_LIMIT", "policyName": "SECONDLY", "message": "You have reached your secondly limit."},
        401: {"category": "EXPIRED_AUTHENTICATION", "message": f"The OAuth token {TOKEN} expired 12 second(s) ago."},
    }.get(status, {"category": "INTERNAL_ERROR", "message": "internal error"})
    return JSONResponse({"status": "error", "correlationId": CORRELATION, **told}, status, headers)


@contextmanager
def portal(folder: Path) -> Iterator[tuple[Server, Portal]]:
    """A running emulator of the company in the folder."""
    held = Portal(folder)
    with serving(routes(held), held, error) as server:
        yield server, held


CORRELATION = "69b26cd2-0000-4000-8c98-739339057319"


def routes(portal: Portal) -> list[Route]:
    def answering(template: str, method: str, needs_token: bool = True):
        def decorated(answer):
            @wraps(answer)
            async def endpoint(request: Request) -> Response:
                headers, status = {}, 200
                try:
                    if needs_token:
                        _check_login(portal, request)
                    headers = _spend(portal)
                    body = await answer(request)
                except Refused as refused:
                    status = refused.status
                    body = {"status": "error", "message": refused.message, "correlationId": CORRELATION,
                            "category": refused.category}  # fmt: skip
                    if refused.category == "DAILY":
                        body |= {"errorType": "RATE_LIMIT", "policyName": "DAILY", "category": "RATE_LIMITS"}
                if portal.keep_answers:
                    path = template.replace("{objectType}", request.path_params.get("name", ""))
                    portal.answers.append((path, method, status, json.loads(json.dumps(body))))
                return JSONResponse(body, status, headers)

            return Route(template.replace("{objectType}", "{name}"), endpoint, methods=[method.upper()])

        return decorated

    @answering("/oauth/v1/token", "post", needs_token=False)
    async def token(request: Request) -> dict:
        form = dict(parse_qsl((await request.body()).decode()))
        if form.get("grant_type") != "refresh_token" or any(form.get(name) != value for name, value in CLIENT.items()):
            raise Refused(400, "missing or invalid refresh token", "BAD_REFRESH_TOKEN")
        portal.issued += 1
        access = f"access-{portal.issued}"
        portal.tokens = {TOKEN, access}
        return {
            "access_token": access, "refresh_token": CLIENT["refresh_token"],
            "expires_in": 1800, "token_type": "bearer",
        }  # fmt: skip

    @answering("/account-info/v3/details", "get")
    async def account(request: Request) -> dict:
        return {"portalId": portal.id, "accountType": "STANDARD", "timeZone": "UTC", "companyCurrency": "USD"}

    @answering("/crm/v3/properties/{objectType}", "get")
    async def properties(request: Request) -> dict:
        name = _object(portal, request)
        names = {*KINDS[name].properties().values(), "hs_object_id", MERGED, "createdate", "hs_custom_of_theirs"}
        seen = sorted(each for each in names if (name, each) not in portal.hidden)
        return {"results": [{"name": each, "label": each, "type": "string", "archived": False} for each in seen]}

    @answering("/crm/v3/objects/{objectType}", "get")
    async def listed(request: Request) -> dict:
        name, asked = _object(portal, request), request.query_params
        history = _list(asked.get("propertiesWithHistory"))
        limit = int(asked.get("limit", 10))
        if limit > (50 if history else 100):
            raise Refused(400, f"limit {limit} is too high")
        limit = min(limit, portal.page)
        records = portal.records(name, asked.get("archived") == "true")
        ids = portal.cached(("ids", name, asked.get("archived")), lambda: [int(id) for id in records])
        start = bisect_right(ids, int(asked["after"])) if "after" in asked else 0
        chosen = ids[start : start + limit]
        if server_of(request).faults.take(f"GET {request.url.path}?{request.url.query}", "duplicate"):
            chosen = ids[max(0, start - limit) : start] + chosen
        shown = [portal.shown(name, records[str(id)], _list(asked.get("properties")), history) for id in chosen]
        more = {"paging": {"next": {"after": str(chosen[-1]), "link": "?after"}}} if start + limit < len(ids) else {}
        return {"results": shown, **more}

    @answering("/crm/v3/objects/{objectType}/search", "post")
    async def search(request: Request) -> dict:
        name, body = _object(portal, request), await request.json()
        limit, after = min(body.get("limit", 10), portal.page), int(body.get("after", 0))
        if body.get("limit", 10) > 200 or after + limit > portal.ceiling:
            raise Refused(400, f"a search ends at {portal.ceiling}")
        records = portal.records(name, archived=False).values()
        [group] = body["filterGroups"]
        found = [record for record in records if all(_matches(record, each) for each in group["filters"])]
        [order] = body.get("sorts") or [{"propertyName": "hs_object_id"}]
        found.sort(key=lambda record: _comparable(order["propertyName"], record["properties"][order["propertyName"]]))
        chosen = found[after : after + limit]
        more = {"paging": {"next": {"after": str(after + limit)}}} if after + limit < len(found) else {}
        shown = [portal.shown(name, record, body.get("properties", [])) for record in chosen]
        return {"total": len(found), "results": shown, **more}

    @answering("/crm/v3/objects/{objectType}/batch/read", "post")
    async def read(request: Request) -> dict:
        name, body = _object(portal, request), await request.json()
        history = body.get("propertiesWithHistory", [])
        if len(body["inputs"]) > (50 if history else 100):
            raise Refused(400, f"{len(body['inputs'])} inputs are too many")
        records = portal.records(name, request.query_params.get("archived") == "true")
        survivors = portal.survivors() if name == DEALS.name else {}
        found = {}
        for each in body["inputs"]:
            id = each["id"] if each["id"] in records else survivors.get(each["id"])
            if id in records:
                found[id] = portal.shown(name, records[id], body.get("properties", []), history)
        return {"status": "COMPLETE", "results": list(found.values()), "completedAt": text(portal.clock)}

    @answering("/crm/v4/associations/{fromObjectType}/{toObjectType}/batch/read", "post")
    async def associations(request: Request) -> dict:
        name, to = request.path_params["fromObjectType"], request.path_params["toObjectType"]
        body = await request.json()
        if len(body["inputs"]) > 1000:
            raise Refused(400, "at most 1000 inputs")
        there = portal.associations(name, to)
        results = [
            {"from": {"id": each["id"]}, "to": there[each["id"]]} for each in body["inputs"] if each["id"] in there
        ]
        stamp = text(portal.clock)
        return {
            "status": "COMPLETE",
            "results": results,
            "requestedAt": stamp,
            "startedAt": stamp,
            "completedAt": stamp,
        }

    @answering("/crm/v3/owners", "get")
    async def owners(request: Request) -> dict:
        is_archived = request.query_params.get("archived") == "true"
        rows = portal.rows(f"select * from {portal.present('owner')} where archived = ? order by id", [is_archived])
        limit, start = int(request.query_params.get("limit", 100)), int(request.query_params.get("after", 0))
        if limit > 500:
            raise Refused(400, f"limit {limit} is too high")
        shown = [_owner(row) for row in rows[start : start + limit]]
        more = {"paging": {"next": {"after": str(start + limit)}}} if start + limit < len(rows) else {}
        return {"results": shown, **more}

    @answering("/crm/v3/pipelines/deals", "get")
    async def pipelines(request: Request) -> dict:
        stages = portal.rows(f"select * from {portal.present('deal_pipeline_stage')} order by displayOrder")
        every = portal.rows(f"select * from {portal.present('deal_pipeline')} where not archived order by displayOrder")
        return {
            "results": [
                {
                    **_stamped(pipeline),
                    "stages": [
                        {
                            **_stamped(stage),
                            "metadata": {
                                "isClosed": text(stage["isClosed"]),
                                "probability": text(stage["probability"]),
                            },
                        }
                        for stage in stages
                        if stage["pipeline_id"] == pipeline["id"] and not stage["archived"]
                    ],
                }
                for pipeline in every
            ]
        }

    return [token, account, properties, search, read, associations, owners, pipelines, listed]


def _check_login(portal: Portal, request: Request) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or token not in portal.tokens:
        raise Refused(401, "Authentication credentials not found.", "INVALID_AUTHENTICATION")


def _spend(portal: Portal) -> dict[str, str]:
    if portal.daily is None:
        return {}
    granted, left = portal.daily
    if left <= 0:
        raise Refused(429, "You have reached your daily limit.", "DAILY")
    portal.daily[1] = left - 1
    return {"X-HubSpot-RateLimit-Daily": str(granted), "X-HubSpot-RateLimit-Daily-Remaining": str(left - 1)}


def _object(portal: Portal, request: Request) -> str:
    name = request.path_params["name"]
    if name in portal.closed:
        raise Refused(403, "This app hasn't been granted all required scopes to make this call.", "MISSING_SCOPES")
    if name not in KINDS:
        raise Refused(400, f"Unable to infer object type from: {name}")
    return name


def _matches(record: dict, asked: dict) -> bool:
    name = asked["propertyName"]
    value = record["properties"].get(name)
    if value is None:
        return False
    here, there = _comparable(name, value), int(asked["value"])
    return {"GTE": here >= there, "GT": here > there, "LT": here < there, "LTE": here <= there}[asked["operator"]]


def _comparable(name: str, value: str) -> int:
    if name == "hs_object_id":
        return int(value)
    return int(datetime.fromisoformat(value).timestamp() * 1000)


def _list(told: str | None) -> list[str]:
    return [each for each in (told or "").split(",") if each]


def _type(category: str, number: int, label: str | None = None) -> dict:
    """The documentation and the answers name the keys differently; both are there."""
    told = {"category": category, "typeId": number, "associationCategory": category, "associationTypeId": number}
    return told | {"label": label}


def _owner(row: dict) -> dict:
    user = int(row["userId"])
    return {
        "id": row["id"], "email": row["email"], "type": "PERSON", "firstName": row["firstName"],
        "lastName": row["lastName"], "userId": None if row["archived"] else user, "userIdIncludingInactive": user,
        "createdAt": text(row["createdAt"]), "updatedAt": text(row["updatedAt"]), "archived": row["archived"],
        "teams": [{"id": "1", "name": row["teamName"], "primary": True}] if row["teamName"] else [],
    }  # fmt: skip


def _stamped(row: dict) -> dict:
    return {
        "id": row["id"], "label": row["label"], "displayOrder": row["displayOrder"], "archived": row["archived"],
        "createdAt": text(row["createdAt"]), "updatedAt": text(row["updatedAt"]),
    }  # fmt: skip
