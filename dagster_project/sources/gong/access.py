"""How to reach Gong: the GONG_* variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from dagster_project.sources.api.access import Given
from dagster_project.sources.api.redaction import Secret

FIRST_DAY = date(2015, 1, 1)  # before Gong had customers


@dataclass(frozen=True)
class GongAccess:
    """An access key with its secret. since: the first day whose calls are read. lookback_days: calls of so many days
    are read again, because their CRM context and parties are completed after the call. transcripts: whether what was
    said is read too."""

    url: str
    access_key: str
    access_key_secret: Secret
    since: date = FIRST_DAY
    lookback_days: int = 14
    transcripts: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> GongAccess:
        """UserError where the key is not complete."""
        given = Given("gong", environ)
        if not given.has("ACCESS_KEY", "ACCESS_KEY_SECRET"):
            raise given.missing("ACCESS_KEY", "ACCESS_KEY_SECRET", how="set both as made under Company settings > API")
        return cls(
            url=given.url("URL", "https://api.gong.io"),
            access_key=given.text("ACCESS_KEY"),
            access_key_secret=given.secret("ACCESS_KEY_SECRET"),
            since=given.day("SINCE", FIRST_DAY),
            lookback_days=given.number("LOOKBACK_DAYS", 14),
            transcripts=given.one_of("TRANSCRIPTS", ("0", "1"), "0") == "1",
        )
