"""HubSpot's CRM endpoints, one method each: pages of records, history, associations. Nothing here knows our tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import httpx

from dagster_project.settings import UserError
from dagster_project.sources.api import ApiError, Client, Dialect, Grant, Pace, Secret
from dagster_project.sources.api.access import LOOPBACK
from dagster_project.sources.hubspot.access import HubspotAccess

LISTED, LISTED_WITH_HISTORY, SEARCHED = 100, 50, 200  # the most records one answer gives
READ, READ_WITH_HISTORY, ASSOCIATED = 100, 50, 1000  # the most ids one request may name
OWNERS = 500
PRIMARY_COMPANY = 5  # the association type of a deal and its primary company

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Link:
    """An associated record. labels: as people see them, without the nameless standard one."""

    id: str
    is_primary: bool
    labels: tuple[str, ...]


class Crm:
    """The CRM behind one client. search_pace: searches are held to fewer requests than all others."""

    def __init__(self, client: Client, search_pace: Pace | None = None) -> None:
        self.client, self.search_pace = client, search_pace

    def account(self) -> Record:
        """The portal's id and settings, open to every login."""
        return self.client.get("/account-info/v3/details")

    def properties(self, name: str) -> list[str]:
        """Names of the properties an object has and this login may see."""
        answer = self.client.get(f"/crm/v3/properties/{name}")
        return [each["name"] for each in answer["results"] if not each.get("archived")]

    def listed(
        self, name: str, properties: Sequence[str], *, history: Sequence[str] = (), archived: bool, after: str | None
    ) -> Iterator[tuple[list[Record], str | None]]:
        """Pages of all records in the order of their ids, each with where the next one begins."""
        params = {
            "limit": LISTED_WITH_HISTORY if history else LISTED,
            "properties": ",".join(properties),
            "archived": "true" if archived else "false",
        }
        if history:
            params["propertiesWithHistory"] = ",".join(history)
        return self._paged(f"/crm/v3/objects/{name}", params, after)

    def changed(
        self, name: str, properties: Sequence[str], *, modified: str, since: int, after: str | None
    ) -> Iterator[tuple[list[Record], str | None]]:
        """Pages of the records changed since (milliseconds), each with the id after which the next one begins.

        A search answers 10,000 records at most. So no page is asked for by its place: each asks anew for what comes
        after the last id, which has no ceiling and cannot skip a record when others change meanwhile.
        """
        while True:
            filters = [{"propertyName": modified, "operator": "GTE", "value": str(since)}]
            if after:
                filters.append({"propertyName": "hs_object_id", "operator": "GT", "value": after})
            body = {
                "filterGroups": [{"filters": filters}],
                "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
                "properties": list(properties),
                "limit": SEARCHED,
            }
            answer = self.client.post(f"/crm/v3/objects/{name}/search", body, pace=self.search_pace)
            found = answer["results"]
            is_last = not found or not answer.get("paging", {}).get("next")
            after = None if is_last else max((record["id"] for record in found), key=int)
            yield found, after
            if is_last:
                return

    def read(
        self, name: str, ids: Sequence[str], properties: Sequence[str], *, history: Sequence[str] = (), archived=False
    ) -> Iterator[Record]:
        """The records of these ids that are there; one that was merged answers as the record it went into."""
        body = {"properties": list(properties)} | ({"propertiesWithHistory": list(history)} if history else {})
        suffix = "?archived=true" if archived else ""
        for some in _chunks(ids, READ_WITH_HISTORY if history else READ):
            inputs = [{"id": id} for id in some]
            answer = self.client.post(f"/crm/v3/objects/{name}/batch/read{suffix}", body | {"inputs": inputs})
            yield from answer["results"]

    def associated(self, name: str, to: str, ids: Sequence[str]) -> dict[str, list[Link]]:
        """Of each record that has any, the associated records of one kind."""
        found: dict[str, list[Link]] = {}
        asked = [{"id": id} for id in ids]
        while asked:
            some, asked = asked[:ASSOCIATED], asked[ASSOCIATED:]
            answer = self.client.post(f"/crm/v4/associations/{name}/{to}/batch/read", {"inputs": some})
            for result in answer["results"]:
                id = str(result["from"]["id"])
                found.setdefault(id, []).extend(_link(each) for each in result["to"])
                if after := result.get("paging", {}).get("next", {}).get("after"):
                    asked.append({"id": id, "after": after})
        return found

    def owners(self, archived: bool) -> Iterator[Record]:
        params = {"limit": OWNERS, "archived": "true" if archived else "false"}
        for page, _ in self._paged("/crm/v3/owners", params, None):
            yield from page

    def pipelines(self) -> list[Record]:
        """The deal pipelines with their stages; HubSpot does not tell of deleted ones."""
        return self.client.get("/crm/v3/pipelines/deals")["results"]

    def _paged(self, path: str, params: dict, after: str | None) -> Iterator[tuple[list[Record], str | None]]:
        while True:
            answer = self.client.get(path, params | ({"after": after} if after else {}))
            before, after = after, answer.get("paging", {}).get("next", {}).get("after")
            yield answer["results"], after
            if after is None:
                return
            if after == before:
                raise UserError(f"HubSpot: {path} names the page after {after} as its own next; run again later")


def connected(access: HubspotAccess, say: Callable[[str], None], pause: Callable[[float], None]) -> Client:
    """A client that logs in as `access` says, held to what every plan allows."""
    held = tuple(filter(None, (access.token, access.client_secret, access.refresh_token)))
    login = _with_token(access.token) if access.token else _with_refresh(access, held, say, pause)
    pace = None if _is_here(access) else Pace(100, 10)
    return Client("HubSpot", access.url, login, DIALECT, say=say, pause=pause, pace=pace, secrets=held)


def search_pace(access: HubspotAccess) -> Pace | None:
    """Four searches a second, whatever the plan."""
    return None if _is_here(access) else Pace(4)


def _is_here(access: HubspotAccess) -> bool:
    """An API on this machine is nobody's to spare."""
    return httpx.URL(access.url).host in LOOPBACK


def _with_token(token: Secret) -> Callable[[], Grant]:
    return lambda: Grant(Secret(f"Bearer {token.reveal()}"))


def _with_refresh(
    access: HubspotAccess, held: tuple[Secret, ...], say: Callable[[str], None], pause: Callable[[float], None]
) -> Callable[[], Grant]:
    def log_in() -> Grant:
        client = Client("HubSpot login", access.url, dialect=DIALECT, say=say, pause=pause, secrets=held)
        form = {
            "grant_type": "refresh_token",
            "client_id": access.client_id,
            "client_secret": access.client_secret.reveal(),
            "refresh_token": access.refresh_token.reveal(),
        }
        try:
            token = Secret(client.json("POST", "/oauth/v1/token", data=form)["access_token"])
        except ApiError as error:
            raise UserError(f"{error}; check HUBSPOT_CLIENT_ID, HUBSPOT_CLIENT_SECRET, HUBSPOT_REFRESH_TOKEN") from None
        finally:
            client.close()
        return Grant(Secret(f"Bearer {token.reveal()}"), secrets=(token,))

    return log_in


def _error(response: httpx.Response) -> tuple[str, str]:
    try:
        body = response.json()
        return str(body.get("policyName") or body.get("category") or ""), str(body.get("message", ""))
    except (ValueError, AttributeError):
        return "", response.text


def _usage(headers: httpx.Headers) -> tuple[int, int] | None:
    """Told to private apps only; an OAuth app learns of its limit when it is reached."""
    try:
        granted = int(headers["x-hubspot-ratelimit-daily"])
        return granted - int(headers["x-hubspot-ratelimit-daily-remaining"]), granted
    except (KeyError, ValueError):
        return None


DIALECT = Dialect(
    error=_error,
    exhausted=frozenset({"DAILY"}),
    expired=frozenset({"EXPIRED_AUTHENTICATION"}),
    usage=_usage,
    hint={
        401: "check HUBSPOT_TOKEN, or the OAuth app's three settings",
        "MISSING_SCOPES": "give the app the read scopes listed in docs/connect-a-crm.md",
        403: "give the app the read scopes listed in docs/connect-a-crm.md",
    },
)


def _link(told: Record) -> Link:
    types = told["associationTypes"]
    labels = tuple(each["label"] for each in types if each.get("label"))
    is_primary = any(
        each.get("label") == "Primary" or each.get("typeId", each.get("associationTypeId")) == PRIMARY_COMPANY
        for each in types
    )
    return Link(str(told["toObjectId"]), is_primary, labels)


def _chunks(items: Sequence[str], size: int) -> Iterator[list[str]]:
    left = iter(items)
    while some := list(islice(left, size)):
        yield some
