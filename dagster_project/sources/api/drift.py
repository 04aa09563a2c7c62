"""Columns that come and go: what a table wants against what the API has, told in one line each.

A column that is gone lands as null with a warning; one that is new is reported once; one whose type changed is noticed
row by row where it is landed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path


class Drift:
    """Which fields each object had when it was last looked at, in a small file of names."""

    def __init__(self, file: Path, origin: str, say: Callable[[str], None]) -> None:
        self.file, self.origin, self.say = Path(file), origin, say
        try:
            self._known: dict[str, list[str]] = json.loads(self.file.read_text())
        except (FileNotFoundError, ValueError):
            self._known = {}

    def readable(self, name: str, wanted: Iterable[str], there: Iterable[str], why_gone: str = "") -> list[str]:
        """Of the wanted fields of an object those that are there; says which are missing or new since last time."""
        wanted, there = list(wanted), set(there)
        gone = [field for field in wanted if field not in there]
        if gone:
            what = f"has no {', '.join(gone)}" + (f" ({why_gone})" if why_gone else "")
            self.say(f"warning: {self.origin} {name} {what}: null in the rows that arrive from now on")
        known = self._known.get(name)
        fresh = sorted(there - set(known) - set(wanted)) if known is not None else []
        if fresh:
            shown = ", ".join(fresh[:10]) + (f" and {len(fresh) - 10} more" if len(fresh) > 10 else "")
            self.say(f"{self.origin} {name} has new fields: {shown}; name one in the field map to read it")
        if known is None or set(known) != there:
            self._known[name] = sorted(there)
            self._save()
        return [field for field in wanted if field in there]

    def _save(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(self._known))
        partial.replace(self.file)
