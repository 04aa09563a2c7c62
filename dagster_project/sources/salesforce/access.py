"""How to reach Salesforce: the SALESFORCE_* variables, and the login they allow."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jwt

from dagster_project.settings import UserError
from dagster_project.sources.api.access import Given
from dagster_project.sources.api.client import Client, Dialect, Grant
from dagster_project.sources.api.errors import ApiError
from dagster_project.sources.api.redaction import Secret

LOGIN_URL = "https://login.salesforce.com"
SANDBOX_URL = "https://test.salesforce.com"
API_VERSION = "62.0"
JWT_SECONDS = 180  # Salesforce takes an assertion for three minutes at most


@dataclass(frozen=True)
class SalesforceAccess:
    """One of three logins: JWT bearer (client_id, username, private_key), refresh token (client_id, refresh_token and
    the app's secret if it has one), client credentials (client_id, client_secret).

    forecast_type: developer name of the forecast type whose calls are read. reconcile_days: how often everything is
    read again, 0 for never.
    """

    login_url: str
    client_id: str
    client_secret: Secret | None = None
    username: str | None = None
    private_key: Secret | None = None
    refresh_token: Secret | None = None
    api_version: str = API_VERSION
    forecast_type: str | None = None
    reconcile_days: int = 30

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> SalesforceAccess:
        """UserError where no login is complete, or a value cannot be used."""
        given = Given("salesforce", environ)
        if not given.has("CLIENT_ID"):
            raise given.missing("CLIENT_ID", how="set it to the connected app's consumer key")
        key = given.secret("PRIVATE_KEY") or _key_in(given.text("PRIVATE_KEY_FILE"))
        if key and not given.has("USERNAME"):
            raise given.missing("USERNAME", how="a login by private key names the user it is for")
        if not key and not given.has("REFRESH_TOKEN") and not given.has("CLIENT_SECRET"):
            raise given.missing(
                "CLIENT_SECRET", how="or set SALESFORCE_PRIVATE_KEY_FILE and _USERNAME, or SALESFORCE_REFRESH_TOKEN"
            )
        version = (given.text("API_VERSION") or API_VERSION).lstrip("vV")
        if not re.fullmatch(r"\d{2,3}\.0", version) or float(version) < 50:
            raise UserError(
                f"SALESFORCE_API_VERSION: {version!r} is no version from 50.0; leave it out for {API_VERSION}"
            )
        return cls(
            login_url=given.url("LOGIN_URL", LOGIN_URL),
            client_id=given.text("CLIENT_ID"),
            client_secret=given.secret("CLIENT_SECRET"),
            username=given.text("USERNAME"),
            private_key=key,
            refresh_token=given.secret("REFRESH_TOKEN"),
            api_version=version,
            forecast_type=given.text("FORECAST_TYPE"),
            reconcile_days=given.number("RECONCILE_DAYS", 30),
        )

    def login(self, say: Callable[[str], None], pause: Callable[[float], None]) -> Callable[[], Grant]:
        """What logs in, as often as it is called."""
        held = tuple(filter(None, (self.client_secret, self.private_key, self.refresh_token)))
        dialect = Dialect(error=_login_error)

        def log_in() -> Grant:
            client = Client("Salesforce login", self.login_url, dialect=dialect, say=say, pause=pause, secrets=held)
            try:
                answer = client.json("POST", "/services/oauth2/token", data=self._form())
            except ApiError as error:
                raise UserError(f"{error}; check SALESFORCE_LOGIN_URL and the connected app's login") from None
            finally:
                client.close()
            token = Secret(answer["access_token"])
            return Grant(Secret(f"Bearer {token.reveal()}"), answer["instance_url"], (token,))

        return log_in

    def _form(self) -> dict[str, str]:
        if self.private_key:
            return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": self._assertion()}
        secret = {"client_secret": self.client_secret.reveal()} if self.client_secret else {}
        if self.refresh_token:
            form = {"grant_type": "refresh_token", "refresh_token": self.refresh_token.reveal()}
        else:
            form = {"grant_type": "client_credentials"}
        return form | {"client_id": self.client_id} | secret

    def _assertion(self) -> str:
        is_sandbox = self.login_url == SANDBOX_URL or ".sandbox." in self.login_url
        audience = SANDBOX_URL if is_sandbox else LOGIN_URL
        claims = {"iss": self.client_id, "sub": self.username, "aud": audience, "exp": int(time.time()) + JWT_SECONDS}
        try:
            # a variable often holds the key in one line
            return jwt.encode(claims, self.private_key.reveal().replace("\\n", "\n"), algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            raise UserError(
                "SALESFORCE_PRIVATE_KEY: this is no RSA private key in PEM form without a passphrase"
            ) from None


def _key_in(path: str | None) -> Secret | None:
    if path is None:
        return None
    try:
        return Secret(Path(path).expanduser().read_text())
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", None) or "not a text"
        raise UserError(f"SALESFORCE_PRIVATE_KEY_FILE: cannot read {path}: {told}") from None


def _login_error(response) -> tuple[str, str]:
    try:
        body = response.json()
        return str(body.get("error", "")), str(body.get("error_description", ""))
    except (ValueError, AttributeError):
        return "", response.text
