"""The Gong source: a company's own users and calls by its API, in the shapes of `shapes.py`."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx

from dagster_project.sources import Table
from dagster_project.sources.api import ApiSource, Client, Dialect, Grant, Pace, Secret, Stream
from dagster_project.sources.api.access import LOOPBACK
from dagster_project.sources.gong.access import GongAccess
from dagster_project.sources.gong.shapes import TABLES
from dagster_project.sources.gong.streams import CallStream, TranscriptStream, UserStream


class GongSource(ApiSource):
    """One company's Gong. pause: waits, so that tests need not."""

    origin = "gong"

    def __init__(
        self,
        access: GongAccess,
        folder: Path,
        say: Callable[[str], None] = print,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(folder, say)
        self.access = access
        self.client = connected(access, self.tell, pause)

    def tables(self) -> list[Table]:
        return list(TABLES)

    def now(self) -> datetime:
        return self.client.now()

    def reading(self) -> str:
        return f"{self.access.since} {self.access.transcripts}"

    def streams(self) -> list[Stream]:
        dated = (CallStream, TranscriptStream) if self.access.transcripts else (CallStream,)
        return [
            UserStream(self.client),
            *(stream(self.client, self.access.since, self.access.lookback_days) for stream in dated),
        ]


def connected(access: GongAccess, say: Callable[[str], None], pause: Callable[[float], None]) -> Client:
    """A client with the key's login, held to the three requests a second that Gong allows."""
    pair = f"{access.access_key}:{access.access_key_secret.reveal()}"
    token = Secret(b64encode(pair.encode()).decode())
    grant = Grant(Secret(f"Basic {token.reveal()}"), secrets=(token,))
    secrets = (access.access_key_secret, token)
    pace = None if httpx.URL(access.url).host in LOOPBACK else Pace(3)  # one on this machine is nobody's to spare
    return Client("Gong", access.url, lambda: grant, DIALECT, say=say, pause=pause, pace=pace, secrets=secrets)


def _error(response: httpx.Response) -> tuple[str, str]:
    try:
        return "", "; ".join(map(str, response.json()["errors"]))
    except (ValueError, KeyError, TypeError):
        return "", response.text


DIALECT = Dialect(
    error=_error,
    hint={
        401: "check GONG_ACCESS_KEY, GONG_ACCESS_KEY_SECRET and GONG_URL (docs/connect-a-crm.md)",
        403: "give the key the scopes listed in docs/connect-a-crm.md",
    },
)
