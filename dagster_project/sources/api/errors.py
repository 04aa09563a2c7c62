"""What can go wrong between a connector and its API, sorted by who can do something about it."""

from __future__ import annotations

from dagster_project.settings import UserError


class Again(Exception):
    """A fault that passes: the same request is worth repeating. after: seconds the server asked to wait."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Unavailable(Exception):
    """The API did not come back within all attempts. What was pulled is kept; another run goes on from there."""


class ApiError(UserError):
    """The API refused a request for good. One line without secrets. code: the API's own name of the error, or ''."""

    def __init__(self, line: str, status: int, code: str = "") -> None:
        super().__init__(line)
        self.status, self.code = status, code


class QuotaExhausted(UserError):
    """The API grants no more requests for now. What was pulled is kept; a later run goes on from there."""
