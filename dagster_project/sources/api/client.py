"""One way to talk to an API: timeouts, retries with jitter, Retry-After, pace, daily quota, renewed tokens, no secrets.

What an answer means is the connector's business. A connector describes its API's habits in a `Dialect`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from dagster_project.settings import UserError
from dagster_project.sources.api.errors import Again, ApiError, QuotaExhausted, Unavailable
from dagster_project.sources.api.redaction import Secret, redact

T = TypeVar("T")

ATTEMPTS = 8  # with waits of up to a minute each: an outage of several minutes is sat out
FIRST_ATTEMPTS = 3  # until the API has answered at all: rather a wrong address than an outage
LONGEST_WAIT = 900.0  # seconds; who is asked to wait longer ends the run and goes on with the next
TIMEOUT = httpx.Timeout(60.0, connect=15.0)
PASSING = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Grant:
    """What a login gives: the value of the Authorization header, the secrets in it, and where the API then is."""

    header: Secret
    base_url: str | None = None
    secrets: tuple[Secret, ...] = ()


@dataclass
class Dialect:
    """How one API says what all of them say.

    error: a refused answer to its (code, message). passing: codes worth repeating whatever their status. exhausted:
    codes that say the day's requests are used up. expired: codes, beside status 401, of a token to be renewed. usage:
    response headers to (used, granted) requests of the day, None where they do not tell. hint: code or status to what
    the user can do about it.
    """

    error: Callable[[httpx.Response], tuple[str, str]] = lambda response: ("", response.text)
    passing: frozenset[str] = frozenset()
    exhausted: frozenset[str] = frozenset()
    expired: frozenset[str] = frozenset()
    usage: Callable[[httpx.Headers], tuple[int, int] | None] = lambda headers: None
    hint: Mapping[str | int, str] = field(default_factory=dict)


class Pace:
    """At most so many requests in so many seconds, evenly spread."""

    def __init__(self, requests: float, seconds: float = 1.0) -> None:
        self.gap, self.free_at = seconds / requests, 0.0

    def wait(self, pause: Callable[[float], None], now: Callable[[], float] = time.monotonic) -> None:
        moment = now()
        if self.free_at > moment:
            pause(self.free_at - moment)
        self.free_at = max(moment, self.free_at) + self.gap


class Client:
    """Requests to one API.

    name: as messages call it. login: gives a `Grant`, again whenever the token has expired; None for requests that need
    none. quota_share: of the day's requests, the part all programmes together may have used before this one stops.
    transport: answers in the API's stead, for tests.
    Raises ApiError for what is refused, QuotaExhausted, and Unavailable once every attempt failed.
    """

    def __init__(
        self,
        name: str,
        base_url: str = "",
        login: Callable[[], Grant] | None = None,
        dialect: Dialect | None = None,
        *,
        say: Callable[[str], None] = lambda line: None,
        pause: Callable[[float], None] = time.sleep,
        pace: Pace | None = None,
        quota_share: float = 0.9,
        attempts: int = ATTEMPTS,
        secrets: tuple[Secret, ...] = (),
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.name, self.base_url, self.login = name, base_url.rstrip("/"), login
        self.dialect, self.say, self.pause, self.pace = dialect or Dialect(), say, pause, pace
        self.quota_share, self.attempts, self.secrets = quota_share, attempts, list(secrets)
        self.requests = self.answers = 0
        self.server_time: datetime | None = None
        self._grant: Grant | None = None
        self._usage: tuple[int, int] | None = None
        self._headers, self._transport = dict(headers or {}), transport
        self._http: httpx.Client | None = None

    def __repr__(self) -> str:
        return f"Client({self.name!r})"

    def close(self) -> None:
        """Let go of the connections; the next request makes new ones."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def get(self, path: str, params: Mapping[str, Any] | None = None, pace: Pace | None = None) -> Any:
        """The JSON that GET answers."""
        return self.json("GET", path, params=params, pace=pace)

    def post(self, path: str, body: Any = None, pace: Pace | None = None) -> Any:
        """The JSON that POST of a JSON body answers."""
        return self.json("POST", path, json=body, pace=pace)

    def json(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of an answer; None where its body is empty. An answer that breaks off is asked for again."""

        def read() -> Any:
            with self.open(method, path, **request) as response:
                content = response.read()
                if not content:
                    return None
                try:
                    return response.json()
                except ValueError:
                    raise Again(f"{method} {path} answered what is no JSON") from None

        return self.repeat(read)

    def repeat(self, read: Callable[[], T]) -> T:
        """What `read` returns, called again after each fault that passes (`Again`, a connection that broke).

        To be put around whatever consumes `open`, so that half an answer is never taken for a whole one.
        """

        def tried() -> T:
            try:
                return read()
            except httpx.TransportError as error:
                raise Again(f"{type(error).__name__}: {error}") from error

        retrying = Retrying(
            retry=retry_if_exception_type(Again),
            stop=lambda state: state.attempt_number >= self._attempts(),
            wait=_wait,
            sleep=self.pause,
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            return retrying(tried)
        except Again as error:
            if self.answers:
                line = self._line(f"no answer after {self._attempts()} attempts, the last one: {error}")
                raise Unavailable(line) from None
            line = self._line(f"cannot be reached at {self.base_url}: {error}; is the address right?")
            raise UserError(line) from None

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        pace: Pace | None = None,
    ) -> Iterator[httpx.Response]:
        """An accepted answer whose body is still to be read; to be used within `repeat`.

        path: starts at `base_url` unless it is a whole address of the same host. A token that expired is renewed, once.
        """
        for renewed in (False, True):
            self._spend(pace)
            http = self._opened()
            request = http.build_request(
                method,
                self._address(path),
                params=params,
                json=json,
                data=data,
                headers={**self._authorization(), **(headers or {})},
            )
            response = http.send(request, stream=True)
            try:
                self._note(response)
                if response.is_success:
                    yield response
                    return
                response.read()
                code, message = self.dialect.error(response)
                is_expired = response.status_code == 401 or code in self.dialect.expired
                if is_expired and self.login and not renewed:
                    self._grant = None
                    continue
                raise self._refusal(response, code, message, f"{method} {path}")
            finally:
                response.close()

    def now(self) -> datetime:
        """The API's own clock where it tells it, else this machine's: UTC, without a zone."""
        return self.server_time or datetime.now(UTC).replace(tzinfo=None)

    def clean(self, text: str) -> str:
        """The text as one line without secrets."""
        return redact(" ".join(text.split()), self.secrets)

    def _line(self, text: str) -> str:
        text = self.clean(text)
        return f"{self.name}: {text if len(text) <= 500 else text[:500] + ' …'}"

    def _tell(self, state: RetryCallState) -> None:
        seconds, error = state.next_action.sleep, state.outcome.exception()
        self.say(self._line(f"{error}; asking again in {seconds:.0f} s (attempt {state.attempt_number})"))

    def _address(self, path: str) -> str:
        if not path.startswith(("https://", "http://")):
            self._authorization()  # a login may say where the API is
            return f"{self.base_url}{path}"
        if httpx.URL(path).host != httpx.URL(self.base_url).host:
            raise UserError(self._line(f"the API points to another host, {httpx.URL(path).host}; it is not followed"))
        return path

    def _authorization(self) -> dict[str, str]:
        if self.login is None:
            return {}
        if self._grant is None:
            self._grant = self.login()
            self.secrets += [self._grant.header, *self._grant.secrets]
            self.base_url = (self._grant.base_url or self.base_url).rstrip("/")
        return {"Authorization": self._grant.header.reveal()}

    def _spend(self, pace: Pace | None) -> None:
        if self._usage:
            used, granted = self._usage
            if granted and used >= granted * self.quota_share:
                raise QuotaExhausted(
                    self._line(
                        f"{used:,} of the day's {granted:,} requests are used, by all programmes together; stopped at "
                        f"{self.quota_share:.0%}. What was pulled is kept: run again tomorrow and it goes on from there"
                    )
                )
        for each in filter(None, (self.pace, pace)):
            each.wait(self.pause)
        self.requests += 1

    def _opened(self) -> httpx.Client:
        if self._http is None:
            self._http = httpx.Client(
                timeout=TIMEOUT, headers=self._headers, transport=self._transport, follow_redirects=False
            )
        return self._http

    def _attempts(self) -> int:
        return self.attempts if self.answers else min(self.attempts, FIRST_ATTEMPTS)

    def _note(self, response: httpx.Response) -> None:
        self.answers += 1
        self._usage = self.dialect.usage(response.headers) or self._usage
        if date := response.headers.get("date"):
            try:
                told = parsedate_to_datetime(date)
            except ValueError:
                return
            self.server_time = told.astimezone(UTC).replace(tzinfo=None) if told.tzinfo else told

    def _refusal(self, response: httpx.Response, code: str, message: str, asked: str) -> Exception:
        """What to raise for an answer that is no success."""
        status = response.status_code
        told = f"{asked} answered {status}{f' {code}' if code else ''}: {message}"
        if code in self.dialect.exhausted:
            return QuotaExhausted(
                self._line(f"{told}. What was pulled is kept: run again later and it goes on from there")
            )
        if status in PASSING or code in self.dialect.passing:
            after = _retry_after(response)
            if after is not None and after > LONGEST_WAIT:
                return QuotaExhausted(
                    self._line(f"{told}, and asks to wait {after:.0f} s. What was pulled is kept: run again after that")
                )
            return Again(self.clean(told), after)
        hint = self.dialect.hint.get(code) or self.dialect.hint.get(status)
        return ApiError(self._line(told) + (f"; {hint}" if hint else ""), status, code)


_backoff = wait_random_exponential(multiplier=1, max=60)


def _wait(state: RetryCallState) -> float:
    """As long as the server asked, and a little more so that not all come back at once; else growing, with jitter."""
    after = getattr(state.outcome.exception(), "after", None)
    return _backoff(state) if after is None else after + random.uniform(0, 1)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, from a header that gives seconds or an instant."""
    told = response.headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(told)
        now = parsedate_to_datetime(response.headers["date"]) if "date" in response.headers else datetime.now(UTC)
        return max(0.0, (at - now).total_seconds())
    except (ValueError, TypeError):
        return None
