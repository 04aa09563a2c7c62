"""The emulated APIs of the tests, each in a process of its own, so that what they cost is not the connector's.

`python -m benchmarks.emulators NAME FOLDER|ROWS` prints, as JSON, the settings that point a connector there, and serves
until its input ends. A line of its input is an instant to move the company's clock to; it is printed again once done.

`tasks` is an organisation of so many tasks and nothing else. They are made up page by page and held nowhere.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from tests.emulators import gong, hubspot, salesforce
from tests.emulators.base import Company, Server

NOW = datetime(2025, 11, 16, 23, 59, 59)
APART = timedelta(seconds=15)  # from one task's stamp to the next one's


def tasks(first: int, end: int, every: int) -> str:
    """SQL of the tasks from the number `first` to before `end`, in order, of so many in all; the last one is stamped
    now."""
    stamp = f"(timestamp '{NOW}' - to_seconds(({every - 1} - n) * {APART.seconds}))"
    return f"""
        select '00T' || lpad(n::varchar, 15, '0') as Id,
            '005' || lpad((n % 900)::varchar, 15, '0') as OwnerId,
            '006' || lpad((hash(n) % 200_000)::varchar, 15, '0') as WhatId,
            case when n % 5 > 0 then '003' || lpad((hash(n + 1) % 500_000)::varchar, 15, '0') end as WhoId,
            '001' || lpad((hash(n + 2) % 50_000)::varchar, 15, '0') as AccountId,
            ['Call', 'Email', 'Task'][1 + n % 3] as TaskSubtype,
            'Next steps, "' || left(md5(n::varchar), 12) || '"' as Subject,
            case when n % 4 = 0 then 'Open' else 'Completed' end as Status,
            n % 4 > 0 as IsClosed,
            {stamp}::date as ActivityDate,
            case when n % 4 > 0 then {stamp} end as CompletedDateTime,
            case when n % 3 = 0 then n % 3600 end as CallDurationInSeconds,
            case when n % 3 = 0 then 'Outbound' end as CallType,
            case when n % 3 = 0 then ['Connected', 'Voicemail', 'No answer'][1 + n // 3 % 3] end as CallDisposition,
            n % 50 = 0 as IsDeleted,
            {stamp} - interval 1 hour as CreatedDate,
            {stamp} as LastModifiedDate,
            {stamp} as SystemModstamp
        from range({first}, {end}) as numbers(n)
    """


class Nobody(Company):
    """No company, but a clock and an engine for what is made up."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "memory_limit": "512MB"})
        self.connection.execute("set TimeZone = 'UTC'")
        self.clock = NOW


class Tasks(salesforce.Org):
    """An organisation of so many tasks. spans: of each job, the first task's number and where it ends."""

    def __init__(self, rows: int) -> None:
        super().__init__(Nobody())
        self.every, self.polls_until_done = rows, 0
        self.spans: dict[str, tuple[int, int, str]] = {}

    def relation(self, name: str) -> str | None:
        if name == "Task":
            return f"({tasks(0, self.every, self.every)})"
        return super().relation(name) if name == "Organization" else None

    def keep(self, job: str, query: salesforce.Query) -> int:
        bounds = dict(re.findall(r"SystemModstamp (>=|<) timestamp '([^']+)'", query.sql))
        first = self._number(bounds[">="]) if ">=" in bounds else 0
        end = self._number(bounds["<"]) if "<" in bounds else self.every
        self.spans[job] = first, end, query.told
        return end - first

    def kept(self, job: str, first: int, end: int) -> str:
        start, stop, told = self.spans[job]
        return f"select {told} from ({tasks(start + first, min(start + end, stop), self.every)})"

    def _number(self, stamp: str) -> int:
        """Of the first task that is stamped then or later."""
        before = NOW - datetime.fromisoformat(stamp)
        return min(max(self.every - 1 - before // APART, 0), self.every)


@contextmanager
def emulated(name: str, of: str) -> Iterator[tuple[Server, dict[str, str]]]:
    """One API, served, and the settings that point its connector there. of: the company's folder, or how many tasks."""
    if name in ("salesforce", "tasks"):
        org = Tasks(int(of)) if name == "tasks" else salesforce.Org(Company(Path(of), "raw_salesforce"))
        if name == "salesforce":
            org.missing = {"Task"}  # the one object of the default company that is large enough to come in bulk
        with salesforce.serving_org(org) as server:
            login = {"CLIENT_ID": salesforce.CLIENT_ID, "CLIENT_SECRET": salesforce.CLIENT_SECRET}
            yield server, _settings("SALESFORCE", LOGIN_URL=server.url, **login)
    elif name == "hubspot":
        with hubspot.portal(Path(of)) as (server, _):
            # later pulls search what changed, however long ago everything was read
            yield server, _settings("HUBSPOT", URL=server.url, TOKEN=hubspot.TOKEN, RECONCILE_DAYS="0")
    else:
        with gong.recorder(Path(of)) as (server, _):
            login = {"ACCESS_KEY": gong.KEY, "ACCESS_KEY_SECRET": gong.SECRET}
            yield server, _settings("GONG", URL=server.url, SINCE="2022-01-01", **login)


def _settings(prefix: str, **named: str) -> dict[str, str]:
    return {f"{prefix}_{name}": value for name, value in named.items()}


def main() -> int:
    with emulated(*sys.argv[1:]) as (server, settings):
        print(json.dumps(settings), flush=True)
        for line in sys.stdin:
            server.company.clock = datetime.fromisoformat(line.strip())
            print(line, end="", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
