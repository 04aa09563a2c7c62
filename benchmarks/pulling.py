"""One pull of an API into a warehouse, or the requests it made asked again by a bare client; a process, to be measured.

`python -m benchmarks.pulling pull ORIGIN WAREHOUSE REQUESTS` notes its requests in a file, `… ask REQUESTS` makes them.
The last line printed is what it cost, as JSON; progress goes to the standard error.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import httpx

from dagster_project.settings import Settings
from dagster_project.sources import landing
from dagster_project.sources.registry import open_sources
from dagster_project.warehouse import connect

OF_REQUESTS = ("authorization", "accept", "content-type")  # headers that make a request what it is


def pull(origin: str, warehouse: str, requests: str) -> dict[str, float]:
    """Pull what is new and land it, in this process."""
    settings = Settings(warehouse=Path(warehouse), sources=(origin,))
    with connect(settings.warehouse) as connection:
        [source] = open_sources(settings)
        landing.activate(connection, [source])
        with _noted(Path(requests)):
            started, cpu = time.perf_counter(), time.process_time()
            report = landing.land(connection, source, say=say)
            seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
        for load in landing.pending(connection):
            landing.judge(connection, load.schema, load.load_id, accepted=True)
    return {
        "rows": sum(table.rows_read for table in report.tables),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "landing": sum(table.seconds for table in report.tables),
        "requests": source.client.requests,
    }


@contextmanager
def _noted(requests: Path) -> Iterator[None]:
    """Every request that is made in the block, with the status it was answered with."""
    send = httpx.HTTPTransport.handle_request
    with requests.open("w") as file:

        def note(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            response = send(transport, request)
            headers = {name: request.headers[name] for name in OF_REQUESTS if name in request.headers}
            body = request.content.decode()
            print(json.dumps([request.method, str(request.url), headers, body, response.status_code]), file=file)
            return response

        with patch.object(httpx.HTTPTransport, "handle_request", note):
            yield


def ask(requests: str) -> dict[str, float]:
    """Make requests that were noted, and throw the answers away."""
    asked = [json.loads(line) for line in Path(requests).read_text().splitlines()]
    with httpx.Client(timeout=60) as http:
        started, cpu = time.perf_counter(), time.process_time()
        for method, url, headers, body, status in asked:
            answer = http.request(method, url, headers=headers, content=body)
            if answer.status_code != status:
                raise SystemExit(f"{method} {url} answers {answer.status_code}, before {status}")
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "requests": len(asked)}


def say(text: str) -> None:
    if "not read, this organisation has no such" not in text:  # emulated organisations have few objects
        print(f"    {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    print(json.dumps({"pull": pull, "ask": ask}[what](*arguments)))
