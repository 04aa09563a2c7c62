"""Reading a connector's own settings from the environment. Secrets come from there only and leave it as `Secret`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date

import httpx

from dagster_project.settings import UserError
from dagster_project.sources.api.redaction import Secret

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Given:
    """The variables that begin with `<SOURCE>_`; an empty one counts as unset. Each mistake is a one-line UserError."""

    def __init__(self, source: str, environ: Mapping[str, str] | None = None) -> None:
        self.source, self.prefix = source, source.upper() + "_"
        environ = os.environ if environ is None else environ
        self._texts = {
            name: text.strip() for name, text in environ.items() if name.startswith(self.prefix) and text.strip()
        }

    def text(self, name: str, default: str | None = None) -> str | None:
        return self._texts.get(self.prefix + name, default)

    def secret(self, name: str) -> Secret | None:
        text = self._texts.get(self.prefix + name)
        return Secret(text) if text else None

    def has(self, *names: str) -> bool:
        return all(self.prefix + name in self._texts for name in names)

    def missing(self, *names: str, how: str) -> UserError:
        """What to raise where these are not set. how: what to set instead, or where to read about it."""
        lacking = [self.prefix + name for name in names if not self.has(name)]
        verb = "is" if len(lacking) == 1 else "are"
        return UserError(
            f"{', '.join(lacking)} {verb} not set but WAREHOUSE_SOURCES names '{self.source}'; {how} "
            "(docs/connect-a-crm.md)"
        )

    def url(self, name: str, default: str | None = None) -> str | None:
        """An address without a slash at its end; https, or http to this machine itself."""
        text = self.text(name, default)
        if text is None:
            return None
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL:
            url = httpx.URL("")
        is_safe = url.scheme == "https" or (url.scheme == "http" and url.host in LOOPBACK)
        if not is_safe or not url.host or url.userinfo:
            raise UserError(
                f"{self.prefix}{name}: {url.host or text!r} is no address to send secrets to; write https://…"
            )
        return text.rstrip("/")

    def number(self, name: str, default: int) -> int:
        text = self.text(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit():
            raise UserError(f"{self.prefix}{name}: {text!r} is not a whole number from 0; write one such as {default}")
        return int(text)

    def day(self, name: str, default: date | None = None) -> date | None:
        text = self.text(name)
        try:
            return date.fromisoformat(text) if text else default
        except ValueError:
            raise UserError(f"{self.prefix}{name}: {text!r} is not a day; write it as 2025-06-30") from None

    def one_of(self, name: str, known: tuple[str, ...], default: str) -> str:
        text = (self.text(name) or default).lower()
        if text not in known:
            raise UserError(f"{self.prefix}{name}: {text!r} is not known; write one of {', '.join(known)}")
        return text
