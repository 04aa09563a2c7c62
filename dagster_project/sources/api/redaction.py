"""Secrets that cannot be printed by accident, and the cleaning of every text that leaves a connector."""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "***"
# Where APIs put tokens in what they answer or are asked, known or not.
_TOKENS = re.compile(
    r"""(?ix)
    ( \b(?:Bearer|Basic)\s+
    | \b(?:access_token|refresh_token|client_secret|assertion|id_token|sid)["']?\s*[=:]\s*["']? )
    [^\s"'&,}]+
    """
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL)


class Secret:
    """A text nobody is to see: as str, repr and in an f-string it is ***. `reveal` gives the text itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self):
        raise TypeError("a secret is not to be stored")


def redact(text: str, secrets: Iterable[Secret] = ()) -> str:
    """The text without these secrets and without whatever else looks like a token or a private key."""
    for secret in sorted((secret.reveal() for secret in secrets), key=len, reverse=True):
        if secret:
            text = text.replace(secret, HIDDEN)
    return _TOKENS.sub(rf"\1{HIDDEN}", _PRIVATE_KEY.sub(HIDDEN, text))
