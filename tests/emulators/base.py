"""What the emulators share: a server on loopback, faults on request, and the demo company as it stood at a clock.

An emulator is a list of Starlette routes over a `Company`, run by `serving`::

    company = Company(DemoSource("tiny", 42, cache).prepare(), "raw_hubspot")
    with serving(routes(company), company) as server:
        server.faults.add("429", path="/crm/v3/objects/deals", retry_after=1)
        ... HubspotSource(access at server.url) ...
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import duckdb
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dagster_project.warehouse import ALL_TABLES

TABLES = {table.relation: table for table in ALL_TABLES}


class Company:
    """The demo company's tables of one raw schema, at a clock that the test moves.

    Each table is an append-only list of versions (the demo's Parquet and what `change` adds); `at clock` the newest
    version of each key counts. clock: UTC without a zone; the newest load at first.
    """

    def __init__(self, folder: Path, schema: str) -> None:
        self.schema = schema
        self.tables = {table.name: table for table in ALL_TABLES if table.schema == schema}
        self.connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        self.connection.execute("set TimeZone = 'UTC'")
        self._views: set[tuple[str, datetime]] = set()
        self._lock = threading.Lock()
        for name in self.tables:
            file = str(folder / f"{schema}.{name}.parquet").replace("'", "''")
            self.connection.execute(f"create table versions_{name} as select * from read_parquet('{file}')")
        self.days = [day for (day,) in self._days()]
        self.clock: datetime = self.days[-1]

    def _days(self) -> list[tuple[datetime]]:
        every = " union ".join(f"select distinct _extracted_at from versions_{name}" for name in self.tables)
        return self.connection.execute(f"select _extracted_at from ({every}) order by 1").fetchall()

    def present(self, name: str) -> str:
        """SQL relation: the newest version of each key by the clock, with its `_extracted_at`."""
        with self._lock:
            if (name, self.clock) not in self._views:
                key = ", ".join(f'"{column}"' for column in self.tables[name].key)
                self.connection.cursor().execute(
                    f"""
                    create or replace table present_{name} as
                    select * from versions_{name} where _extracted_at <= ?
                    qualify row_number() over (partition by {key} order by _extracted_at desc, rowid desc) = 1
                    """,
                    [self.clock],
                )
                self._views = {view for view in self._views if view[0] != name} | {(name, self.clock)}
            return f"present_{name}"

    def rows(self, sql: str, parameters: Sequence = ()) -> list[dict]:
        cursor = self.connection.cursor()
        cursor.execute(sql, list(parameters))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def change(self, name: str, key: str, /, **columns) -> None:
        """A new version of the record whose first key column is `key`, as of the clock; for a new key give every column
        that is not null."""
        first = self.tables[name].key[0]
        before = self.rows(f'select * from {self.present(name)} where "{first}" = ?', [key])
        row = {**(before[0] if before else {first: key}), **columns, "_extracted_at": self.clock}
        names = ", ".join(f'"{column}"' for column in row)
        cursor = self.connection.cursor()
        cursor.execute(
            f"insert into versions_{name} ({names}) values ({', '.join('?' * len(row))})", list(row.values())
        )
        self.forget(name)

    def remove(self, name: str, key: str) -> None:
        """As if the record had never been: what an API does with what it deletes for good."""
        first = self.tables[name].key[0]
        self.connection.cursor().execute(f'delete from versions_{name} where "{first}" = ?', [key])
        self.forget(name)

    def forget(self, name: str) -> None:
        self._views = {view for view in self._views if view[0] != name}


@dataclass
class Fault:
    """What goes wrong. kind: one of KINDS, or a word an emulator's own routes ask for by `Faults.take`. path: a pattern
    searched for in `METHOD path?query`. skip: requests let through first. times: how often it strikes."""

    kind: str
    path: str = ""
    skip: int = 0
    times: int = 1
    retry_after: str | int | None = None
    status: int = 0


KINDS = ("429", "500", "drop", "truncate", "expired", "slow")


@dataclass
class Faults:
    """Faults waiting to strike, and what has struck."""

    waiting: list[Fault] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, path: str = "", **more) -> None:
        self.waiting.append(Fault(kind, path, **more))

    def take(self, request: str, *kinds: str) -> Fault | None:
        """The first fault of these kinds that is due for this request."""
        with self.lock:
            for fault in self.waiting:
                if fault.kind not in kinds or fault.times <= 0 or not re.search(fault.path, request):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                self.struck.append(fault.kind)
                return fault
            return None


class Server:
    """A running emulator. requests: every request as `METHOD path?query`, tokens left out. skew: how far its clock is
    off in the Date header."""

    def __init__(self, company: Company | None) -> None:
        self.company, self.faults = company, Faults()
        self.requests: list[str] = []
        self.skew = timedelta(0)
        self.url = ""

    def date(self) -> str:
        now = self.company.clock if self.company else datetime.now(UTC).replace(tzinfo=None)
        return format_datetime((now + self.skew).replace(tzinfo=UTC), usegmt=True)

    def asked(self, pattern: str) -> list[str]:
        return [request for request in self.requests if re.search(pattern, request)]


class _Unreliable:
    """ASGI layer between server and routes: notes the request, sets the Date, and lets the faults strike."""

    def __init__(self, app, server: Server) -> None:
        self.app, self.server = app, server

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        query = scope["query_string"].decode()
        request = f"{scope['method']} {scope['path']}{'?' + query if query else ''}"
        self.server.requests.append(request)
        date = (b"date", self.server.date().encode())
        fault = self.server.faults.take(request, *KINDS)
        if fault and fault.kind in ("429", "500", "expired"):
            status = fault.status or {"429": 429, "500": 500, "expired": 401}[fault.kind]
            told = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            response = self.error(status, told)
            response.raw_headers.append(date)
            return await response(scope, receive, send)
        if fault and fault.kind == "slow":
            time.sleep(0.2)
        broken = fault if fault and fault.kind in ("drop", "truncate") else None

        async def answer(message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], date]
                if broken:  # without its length, a short body looks whole
                    keep = broken.kind == "drop"
                    headers = [(k, v) for k, v in headers if keep or k != b"content-length"]
                message = {**message, "headers": headers}
            elif broken and message.get("body"):
                half = message["body"][: len(message["body"]) // 2]
                await send({**message, "body": half, "more_body": broken.kind == "drop"})
                if broken.kind == "drop":
                    raise ConnectionAbortedError("dropped on purpose")
                return
            await send(message)

        await self.app(scope, receive, answer)

    def error(self, status: int, headers: dict[str, str]) -> Response:
        return getattr(self.server, "error", plain_error)(status, headers)


def plain_error(status: int, headers: dict[str, str]) -> Response:
    return JSONResponse({"message": f"fault {status}"}, status, headers)


@contextmanager
def serving(routes: Sequence[Route], company: Company | None = None, error=plain_error) -> Iterator[Server]:
    """The routes, served from a thread for the length of the block. error: how this API words a fault's status."""
    server = Server(company)
    server.error = error
    app = Starlette(routes=list(routes))
    app.state.server = server
    config = uvicorn.Config(
        _Unreliable(app, server), host="127.0.0.1", port=0, log_level="critical", date_header=False, lifespan="off",
        access_log=False, loop="asyncio",
    )  # fmt: skip
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        if not thread.is_alive():
            raise RuntimeError("the emulator did not start")
        time.sleep(0.005)
    [socket] = running.servers[0].sockets
    server.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    try:
        yield server
    finally:
        running.should_exit = running.force_exit = True
        thread.join(10)


def server_of(request: Request) -> Server:
    return request.app.state.server
