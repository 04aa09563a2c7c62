"""How to reach HubSpot: the HUBSPOT_* variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dagster_project.sources.api.access import Given
from dagster_project.sources.api.redaction import Secret


@dataclass(frozen=True)
class HubspotAccess:
    """A private app's token, or an OAuth app with a refresh token. reconcile_days: how often everything is read again,
    0 for never."""

    url: str
    token: Secret | None = None
    client_id: str | None = None
    client_secret: Secret | None = None
    refresh_token: Secret | None = None
    reconcile_days: int = 30

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> HubspotAccess:
        """UserError where no way to log in is complete."""
        given = Given("hubspot", environ)
        if not given.has("TOKEN") and not given.has("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN"):
            if given.has("REFRESH_TOKEN") or given.has("CLIENT_ID") or given.has("CLIENT_SECRET"):
                raise given.missing("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN", how="an OAuth app needs all three")
            raise given.missing("TOKEN", how="set it to the access token of a private app")
        return cls(
            url=given.url("URL", "https://api.hubapi.com"),
            token=given.secret("TOKEN"),
            client_id=given.text("CLIENT_ID"),
            client_secret=given.secret("CLIENT_SECRET"),
            refresh_token=given.secret("REFRESH_TOKEN"),
            reconcile_days=given.number("RECONCILE_DAYS", 30),
        )
