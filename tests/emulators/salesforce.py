"""Salesforce as the demo company would keep it: OAuth, describe, SOQL by REST, and query jobs of the Bulk API 2.0.

Written from the public documentation. What Salesforce keeps otherwise than the raw tables do is told here as Salesforce
does: forecast items by category, one present plan rate a currency, quotas by period. Only the SOQL that a reader of
records asks is understood.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs

import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.emulators.base import Company, Server, server_of, serving

ORGANISATION = "00D5g0000008demoEAA"
CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN = "3MVG9.demo.client", "demo-client-secret", "5Aep861.demo.refresh"
REST_ROWS = 2000

TABLE_OF = {
    "User": "user",
    "Account": "account",
    "Contact": "contact",
    "Campaign": "campaign",
    "Lead": "lead",
    "OpportunityStage": "opportunity_stage",
    "Opportunity": "opportunity",
    "OpportunityHistory": "opportunity_history",
    "OpportunityFieldHistory": "opportunity_field_history",
    "OpportunityContactRole": "opportunity_contact_role",
    "OpportunityLineItem": "opportunity_line_item",
    "OpportunitySplit": "opportunity_split",
    "Task": "task",
    "Event": "event",
    "DatedConversionRate": "dated_conversion_rate",
    "ForecastingType": "forecasting_type",
}
NOT_BULK = {"OpportunityStage", "Period", "UserRole", "Organization", "CurrencyType", "ForecastingItem"}
TYPES = {
    "VARCHAR": "string",
    "TIMESTAMP": "datetime",
    "DATE": "date",
    "BOOLEAN": "boolean",
    "BIGINT": "int",
    "INTEGER": "int",
}
SOAP = {
    "string": "xsd:string", "datetime": "xsd:dateTime", "date": "xsd:date", "boolean": "xsd:boolean", "int": "xsd:int",
    "double": "xsd:double", "id": "tns:ID", "reference": "tns:ID",
}  # fmt: skip
# A period's id is made of its first and its last day.
PERIOD_ID = "'026' || strftime({start}, '%y%m%d') || strftime({end}, '%y%m%d') || 'AAA'"
QUARTER_END = "(PeriodStartDate + interval 3 month - interval 1 day)::date"


class Org:
    """The organisation behind the emulator.

    hidden: fields (`Object.Field`) that field-level security keeps from this login. missing: objects there are not.
    granted: the day's requests. public_key: whose assertions are taken.
    """

    def __init__(self, company: Company, public_key: str | None = None) -> None:
        self.company, self.public_key = company, public_key
        self.hidden: set[str] = set()
        self.missing: set[str] = set()
        self.granted, self.used = 100_000, 0
        self.logins: list[str] = []
        self.tokens: set[str] = set()
        self.jobs: dict[str, dict] = {}
        self.numbers = count(1)
        self.polls_until_done = 1
        self.rest_rows = REST_ROWS
        self.files = tempfile.TemporaryDirectory(prefix="emulator-")

    def relation(self, name: str) -> str | None:
        """SQL of an object as it stands at the clock; None where there is none."""
        present = self.company.present
        if name in self.missing:
            return None
        if name == "OpportunityHistory":  # what arrives late is stamped when it arrives
            return f"""(select * replace (case when SystemModstamp::date < _extracted_at::date and
                _extracted_at::date > timestamp '{self.company.days[0]}' then _extracted_at else SystemModstamp end
                as SystemModstamp) from {present("opportunity_history")})"""
        if name in TABLE_OF:
            return present(TABLE_OF[name])
        if name == "Organization":
            return f"""(select '{ORGANISATION}' as Id, 'Demo' as Name, 'Etc/UTC' as TimeZoneSidKey,
                1 as FiscalYearStartMonth, false as UsesStartDateAsFiscalYearName, false as IsSandbox)"""
        if name == "CurrencyType":
            return f"""(select min(Id) over (partition by IsoCode) as Id, IsoCode, ConversionRate, 2 as DecimalPlaces,
                IsActive, IsCorporate, StartDate::timestamp as CreatedDate, StartDate::timestamp as LastModifiedDate,
                StartDate::timestamp as SystemModstamp
                from {present("currency_type")}
                qualify row_number() over (partition by IsoCode order by StartDate desc) = 1)"""
        if name == "ForecastingQuota":
            period = PERIOD_ID.format(start="StartDate", end="PeriodEndDate__c")
            return f"""(select * exclude (PeriodEndDate__c), {period} as PeriodId
                from {present("forecasting_quota")})"""
        if name == "Period":
            period = PERIOD_ID.format(start="StartDate", end="EndDate")
            return f"""(select {period} as Id, StartDate, EndDate, 'Month' as Type from (
                select StartDate, PeriodEndDate__c as EndDate from {present("forecasting_quota")}
                union select PeriodStartDate, {QUARTER_END} from {present("forecasting_item")}))"""
        if name == "UserRole":
            return f"""(select distinct '00E' || substr(OwnerId, 4) as Id, 'Lead' as Name, OwnerId as ForecastUserId
                from {present("forecasting_item")} where Scope = 'team')"""
        if name == "ForecastingItem":
            period = PERIOD_ID.format(start="PeriodStartDate", end=QUARTER_END)
            return f"""(select left(Id, 15) || category[1:3] as Id, OwnerId, {period} as PeriodId,
                (select min(Id) from {present("forecasting_type")}) as ForecastingTypeId, CurrencyIsoCode,
                category as ForecastingItemCategory, amount as ForecastAmount,
                case when Scope = 'own' then amount else 0::decimal(18, 2) end as OwnerOnlyAmount, SystemModstamp
                from (
                    select *, unnest(['CommitForecast', 'BestCaseForecast', 'OpenPipeline']) as category,
                        unnest([CommitAmount, BestCaseAmount, PipelineAmount]) as amount
                    from {present("forecasting_item")}
                ))"""
        return None

    def keep(self, job: str, query: Query) -> int:
        """Hold the rows of a bulk query as they are now; their number."""
        cursor = self.company.connection.cursor()
        cursor.execute(f"create or replace table job_{job} as select {query.told} from ({query.sql})")
        [(rows,)] = cursor.execute(f"select count(*) from job_{job}").fetchall()
        return rows

    def kept(self, job: str, first: int, end: int) -> str:
        """SQL of the rows of a bulk query from one to before another, as text."""
        return f"select * from job_{job} where rowid >= {first} and rowid < {end}"

    def fields(self, name: str) -> dict[str, str]:
        """Field to its SQL type, as this login sees the object."""
        relation = self.relation(name)
        cursor = self.company.connection.cursor()
        cursor.execute(f"describe select * from {relation}")
        found = {row[0]: row[1] for row in cursor.fetchall()}
        found.pop("_extracted_at", None)
        return {field: kind for field, kind in found.items() if f"{name}.{field}" not in self.hidden}


class Refused(Exception):
    """Refused as Salesforce does: a status, a code and a sentence."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


SOQL = re.compile(
    r"SELECT (?P<fields>.+?) FROM (?P<object>\w+)(?: WHERE (?P<where>.+?))?"
    r"(?: GROUP BY (?P<group>\w+))?(?: ORDER BY (?P<order>\w+)(?P<way> ASC| DESC)?)?(?: LIMIT (?P<limit>\d+))?",
)


class Query:
    """A SOQL query as SQL over what stands at the clock."""

    def __init__(self, org: Org, soql: str, deleted: bool) -> None:
        found = SOQL.fullmatch(soql.strip())
        if not found:
            raise Refused("MALFORMED_QUERY", f"unexpected token: '{soql[:40]}'")
        self.name = found["object"]
        relation = org.relation(self.name)
        if relation is None:
            raise Refused("INVALID_TYPE", f"sObject type '{self.name}' is not supported.")
        there = org.fields(self.name)
        self.is_count = found["fields"].strip() == "COUNT()"
        self.fields = [] if self.is_count else [field.strip() for field in found["fields"].split(",")]
        named = [*self.fields, *filter(None, (found["group"], found["order"]))]
        for field in named:
            if field not in there:
                raise Refused("INVALID_FIELD", f"No such column '{field}' on entity '{self.name}'.")
        self.kinds = {field: there[field] for field in self.fields}
        conditions = [self._condition(part, there) for part in re.split(r" AND ", found["where"] or "") if part]
        if not deleted and "IsDeleted" in there:
            conditions.append("not coalesce(IsDeleted, false)")
        where = f" where {' and '.join(conditions)}" if conditions else ""
        self.sql = f"select {', '.join(self.fields) or '1 as n'} from {relation}{where}"
        if found["group"]:
            self.sql += f" group by {found['group']}"
        elif not self.is_count:
            self.sql += f" order by {found['order'] or 'Id'}{found['way'] or ''}, Id"
        self.sql += f" limit {found['limit']}" if found["limit"] else ""

    @property
    def told(self) -> str:
        """The fields as the Bulk API writes them in CSV, SQL."""
        return ", ".join(
            f"strftime({field}, '%Y-%m-%dT%H:%M:%S.%g') || 'Z' as {field}"
            if kind == "TIMESTAMP"
            else f"{field}::varchar as {field}"
            for field, kind in self.kinds.items()
        )

    def _condition(self, part: str, there: dict[str, str]) -> str:
        found = re.fullmatch(r"(\w+) (>=|<=|!=|=|<|>|IN) (.+)", part.strip())
        if not found or found[1] not in there:
            raise Refused("MALFORMED_QUERY", f"unexpected token: '{part}'")
        field, operator, value = found.groups()
        if value == "null":
            return f"{field} is {'not ' if operator == '!=' else ''}null"
        if re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value):
            return f"{field} {operator} timestamp '{value[:-1]}'"
        return f"{field} {operator} {value}"


def describe(org: Org, name: str) -> dict:
    """The parts of an object's description that readers of records use, as the API words them."""
    fields = []
    for field, kind in org.fields(name).items():
        told = TYPES.get(kind, "double")
        is_reference = field.endswith("Id") and field != "Id" and kind == "VARCHAR"
        told = "id" if field == "Id" else "reference" if is_reference else told
        fields.append(
            {
                "name": field, "label": field.removesuffix("__c"), "type": told, "soapType": SOAP[told],
                "custom": field.endswith("__c"), "calculated": False, "filterable": True, "sortable": True,
                "aggregatable": True, "nillable": field != "Id", "length": 18 if told in ("id", "reference") else 255,
                "relationshipName": field.removesuffix("Id") if is_reference else None,
            }
        )  # fmt: skip
    return {
        "name": name, "label": name, "labelPlural": f"{name}s", "custom": name.endswith("__c"), "queryable": True,
        "createable": False, "updateable": False, "deletable": False, "fields": fields, "childRelationships": [],
        "recordTypeInfos": [],
    }  # fmt: skip


def routes(org: Org) -> list[Route]:
    return [
        Route("/services/oauth2/token", _token(org), methods=["POST"]),
        Route("/services/data/{version}/sobjects/{name}/describe", _guarded(org, _describe)),
        Route("/services/data/{version}/{way:str}/{locator}", _guarded(org, _query_more)),
        Route("/services/data/{version}/jobs/query", _guarded(org, _create_job), methods=["POST"]),
        Route("/services/data/{version}/jobs/query/{job}", _guarded(org, _look_at_job)),
        Route("/services/data/{version}/jobs/query/{job}/results", _guarded(org, _job_results)),
        Route("/services/data/{version}/{way:str}", _guarded(org, _query)),
    ]


@contextmanager
def salesforce(company: Company, public_key: str | None = None) -> Iterator[tuple[Server, Org]]:
    """The emulator on loopback, and the organisation behind it."""
    org = Org(company, public_key)
    with serving_org(org) as server:
        yield server, org


@contextmanager
def serving_org(org: Org) -> Iterator[Server]:
    """The emulator of an organisation that is there already."""
    with org.files, serving(routes(org), org.company, error=_fault) as server:
        yield server


def _fault(status: int, headers: dict[str, str]) -> Response:
    code, message = {
        401: ("INVALID_SESSION_ID", "Session expired or invalid"),
        429: ("TOO_MANY_REQUESTS", "Too many requests"),
        403: ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    }.get(status, ("UNKNOWN_EXCEPTION", "An unexpected error occurred"))
    return JSONResponse([{"message": message, "errorCode": code}], status, headers)


def _token(org: Org):
    async def answer(request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        kind = form.get("grant_type", "")
        problem = _login_problem(org, kind, form)
        if problem:
            return JSONResponse({"error": problem[0], "error_description": problem[1]}, 400)
        token = f"{ORGANISATION[:15]}!demo.{next(org.numbers)}"
        org.tokens.add(token)
        org.logins.append(kind)
        server = server_of(request)
        told = {"access_token": token, "instance_url": server.url, "token_type": "Bearer",
                "id": f"{server.url}/id/{ORGANISATION}/0055g0000000000AAA", "issued_at": str(int(time.time() * 1000)),
                "signature": "c2lnbmF0dXJl", "scope": "api refresh_token"}  # fmt: skip
        return JSONResponse(told)

    return answer


def _login_problem(org: Org, kind: str, form: dict[str, str]) -> tuple[str, str] | None:
    if kind == "urn:ietf:params:oauth:grant-type:jwt-bearer":
        try:
            claims = jwt.decode(form["assertion"], org.public_key, ["RS256"], audience="https://login.salesforce.com")
        except jwt.PyJWTError as error:
            return "invalid_grant", f"invalid assertion: {error}"
        return None if claims["iss"] == CLIENT_ID else ("invalid_client_id", "client identifier invalid")
    if form.get("client_id") != CLIENT_ID:
        return "invalid_client_id", "client identifier invalid"
    if kind == "refresh_token":
        return None if form.get("refresh_token") == REFRESH_TOKEN else ("invalid_grant", "expired access/refresh token")
    if kind == "client_credentials":
        return None if form.get("client_secret") == CLIENT_SECRET else ("invalid_client", "invalid client credentials")
    return "unsupported_grant_type", "grant type not supported"


def _guarded(org: Org, answer):
    """Only with a token and requests left; every answer says how many are used."""

    async def guarded(request: Request) -> Response:
        body = await request.body()
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in org.tokens:
            return _fault(401, {})
        if org.used >= org.granted:
            return _fault(403, {})
        org.used += 1
        try:
            response = answer(org, request, body)
        except Refused as error:
            response = JSONResponse([{"message": str(error), "errorCode": error.code}], error.status)
        response.headers["Sforce-Limit-Info"] = f"api-usage={org.used}/{org.granted}"
        return response

    return guarded


def _describe(org: Org, request: Request, body: bytes) -> Response:
    name = request.path_params["name"]
    if org.relation(name) is None:
        raise Refused("NOT_FOUND", "The requested resource does not exist", 404)
    return JSONResponse(describe(org, name))


def _query(org: Org, request: Request, body: bytes) -> Response:
    way = request.path_params["way"]
    query = Query(org, request.query_params["q"], deleted=way == "queryAll")
    if query.is_count:
        [row] = org.company.rows(f"select count(*) as n from ({query.sql})")
        return JSONResponse({"totalSize": row["n"], "done": True, "records": []})
    locator = f"0r8xx{next(org.numbers):013}"
    rows = org.company.rows(f"select * from ({query.sql}) limit {org.rest_rows + 1}")
    held = {"rows": rows, "total": len(rows), "name": query.name, "version": request.path_params["version"]}
    if len(rows) > org.rest_rows:  # more pages will be asked for: keep the answer as it is now
        cursor = org.company.connection.cursor()
        [(held["total"],)] = cursor.execute(f"create table query_{locator} as {query.sql}").fetchall()
    org.jobs[locator] = held
    return _page(org, locator, 0)


def _query_more(org: Org, request: Request, body: bytes) -> Response:
    locator, _, start = request.path_params["locator"].partition("-")
    if locator not in org.jobs or not start.isdigit():
        raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator", 400)
    server = server_of(request)
    if server.faults.take(f"{request.method} {request.url.path}", "duplicate"):
        start = max(0, int(start) - org.rest_rows)
    return _page(org, locator, int(start))


def _page(org: Org, locator: str, start: int) -> Response:
    held = org.jobs[locator]
    end, total, version = start + org.rest_rows, held["total"], held["version"]
    page = held["rows"][: org.rest_rows]
    if start:
        page = org.company.rows(
            f"select * from query_{locator} where rowid >= {start} and rowid < {end} order by rowid"
        )
    records = [
        {
            "attributes": {
                "type": held["name"],
                **({"url": f"/services/data/{version}/sobjects/{held['name']}/{row['Id']}"} if "Id" in row else {}),
            },
            **{field: _json(value) for field, value in row.items()},
        }
        for row in page
    ]
    told = {"totalSize": total, "done": end >= total, "records": records}
    if end < total:
        told["nextRecordsUrl"] = f"/services/data/{version}/query/{locator}-{end}"
    return Response(json.dumps(told), media_type="application/json")


def _json(value):
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + "+0000"
    return value.isoformat() if isinstance(value, date) else value


def _create_job(org: Org, request: Request, body: bytes) -> Response:
    asked = json.loads(body)
    query = Query(org, asked["query"], deleted=asked["operation"] == "queryAll")
    if query.name in NOT_BULK or query.is_count:
        raise Refused("INVALIDENTITY", f"Entity '{query.name}' is not supported by the Bulk API.")
    job = f"750{next(org.numbers):012}AAA"
    rows = org.keep(job, query)
    org.jobs[job] = {"rows": rows, "looks": 0, **asked, "object": query.name}
    return JSONResponse(_job(org, job, "UploadComplete", request))


def _job(org: Org, job: str, state: str, request: Request) -> dict:
    held = org.jobs[job]
    at = _json(org.company.clock)
    return {
        "id": job, "operation": held["operation"], "object": held["object"], "createdById": "0055g0000000000AAA",
        "createdDate": at, "systemModstamp": at, "state": state, "concurrencyMode": "Parallel", "contentType": "CSV",
        "apiVersion": float(request.path_params["version"].lstrip("v")), "lineEnding": "LF", "columnDelimiter": "COMMA",
        **({"numberRecordsProcessed": held["rows"], "retries": 0} if state == "JobComplete" else {}),
    }  # fmt: skip


def _held_job(org: Org, request: Request) -> str:
    job = request.path_params["job"]
    if job not in org.jobs:
        raise Refused("NOT_FOUND", "The requested resource does not exist", 404)
    return job


def _look_at_job(org: Org, request: Request, body: bytes) -> Response:
    job = _held_job(org, request)
    org.jobs[job]["looks"] += 1
    state = "JobComplete" if org.jobs[job]["looks"] > org.polls_until_done else "InProgress"
    return JSONResponse(_job(org, job, state, request))


def _job_results(org: Org, request: Request, body: bytes) -> Response:
    job = _held_job(org, request)
    size = int(request.query_params.get("maxRecords", 100_000))
    locator = request.query_params.get("locator")
    start = int(bytes.fromhex(locator)) if locator else 0
    asked = f"{request.method} {request.url.path}?{request.url.query}"
    first = max(0, start - size) if start and server_of(request).faults.take(asked, "duplicate") else start
    file = Path(org.files.name) / f"{next(org.numbers)}.csv"
    cursor = org.company.connection.cursor()
    cursor.execute(f"copy ({org.kept(job, first, first + size)}) to '{file}' (format csv, header, force_quote *)")
    content = file.read_bytes()
    file.unlink()
    rows = max(0, min(size, org.jobs[job]["rows"] - first))
    following = str(start + size).encode().hex() if start + size < org.jobs[job]["rows"] else "null"
    headers = {"Sforce-Locator": following, "Sforce-NumberOfRecords": str(rows)}
    return Response(content, media_type="text/csv", headers=headers)
