"""Each kind of mistake in a mapping is one line on stderr: the file, the key and what would have been right."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.faults.export import write_export
from tests.faults.runs import Place


@dataclass(frozen=True)
class Mistake:
    """What is written instead of what, and words the line must hold."""

    name: str
    right: str
    wrong: str
    told: tuple[str, ...]


MISTAKES = (
    Mistake("unknown key", "currency: USD", "curency: USD", ("mapping.yml", "curency", "currency")),
    Mistake("unknown table", "accounts:\n", "acounts:\n", ("acounts", "accounts")),
    Mistake("unknown column", "close_date:", "closing_date:", ("closing_date", "close_date")),
    Mistake("key of a rule", "trim: true", "trimmed: true", ("trimmed", "trim")),
    Mistake("column the file lacks", "column: value", "column: valeu", ("deals.csv", "valeu", "value")),
    Mistake("file that is not there", "files: deals.csv", "files: deal.csv", ("deal.csv", "deals.csv")),
    Mistake("unknown outcome", "outcome: won", "outcome: one", ("outcome", "one")),
    Mistake("unknown type", "type: money", "type: mony", ("mony", "money")),
    Mistake("stage nobody listed", "- {stage: Engaging}\n", "- {stage: Engagin}\n", ("Engaging", "Engagin")),
    Mistake("reference to nothing", "references: users", "references: user", ("user", "users")),
    Mistake("no required column", "      opportunity_id: id\n", "", ("opportunity_id",)),
    Mistake("two sources of a value", "value, type: money}", "value, constant: '1'}", ("column", "constant")),
    Mistake("no such time zone", "timezone: UTC", "timezone: Europe/Belrin", ("timezone", "Europe/Berlin")),
    Mistake("no such date", "as_of: 2025-06-30", "as_of: 2025-06-31", ("as_of", "2025-06-31")),
    Mistake("another version", "version: 1", "version: 2", ("version",)),
    Mistake("not YAML", "tables:\n", "tables: [\n", ("mapping.yml",)),
    Mistake("a key twice", "source: acme", "source: acme\nsource: acme", ("source", "twice")),
    Mistake("a list that is none", "  - {stage: Prospecting", "  {stage: Prospecting", ("mapping.yml",)),
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_mistake_is_one_clear_line(mistake, tmp_path):
    export = write_export(tmp_path / "export")
    mapping = export / "mapping.yml"
    assert mistake.right in mapping.read_text()
    mapping.write_text(mapping.read_text().replace(mistake.right, mistake.wrong, 1))
    place = Place(tmp_path / "place", WAREHOUSE_SOURCES="files", WAREHOUSE_FILES=str(export))
    told = place.run().complaint()
    assert all(word in told for word in mistake.told), told
    assert place.release() is None
