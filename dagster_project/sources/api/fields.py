"""The field map: which field of an API fills a column, where an organisation names its own fields otherwise.

salesforce:
  opportunity:
    Champion__c: MEDDPICC_Champion__c   # column of the raw table: field of the API
    Competitor__c: null                 # there is none; the column stays empty without a warning
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from dagster_project.settings import UserError, nearest
from dagster_project.sources import Table

VARIABLE = "WAREHOUSE_FIELDS"


class FieldMap:
    """For each table of a source, column to field; a column it does not name is a field of its own name."""

    def __init__(self, renamed: dict[str, dict[str, str | None]] | None = None) -> None:
        self._renamed = renamed or {}

    def of(self, table: Table) -> dict[str, str]:
        """Column to field, in the table's order, without the columns nothing fills."""
        renamed = self._renamed.get(table.name, {})
        fields = {column: renamed.get(column, column) for column in table.columns}
        return {column: field for column, field in fields.items() if field is not None}

    @property
    def fingerprint(self) -> str:
        """Changes whenever a column is filled from another field."""
        return hashlib.sha256(json.dumps(self._renamed, sort_keys=True).encode()).hexdigest()[:12]


def read_fields(path: Path | None, source: str, tables: Iterable[Table]) -> FieldMap:
    """The part of the file that is about one source; an empty map without a file. UserError for a mistake in it."""
    if path is None:
        return FieldMap()
    try:
        told = yaml.safe_load(path.read_text("utf-8-sig"))
    except OSError as error:
        raise UserError(f"{VARIABLE}: cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise UserError(f"{path}{f', line {mark.line + 1}' if mark else ''}: this is no YAML") from None
    if told is not None and not isinstance(told, dict):
        raise UserError(f"{path}: begin with the source, such as {source}:")
    known = {"salesforce", "hubspot"}
    for name in told or {}:
        if name not in known:
            raise UserError(f"{path}: no fields are mapped for {name!r}{nearest(str(name), known)}")
    return FieldMap(_checked(path, source, (told or {}).get(source) or {}, {table.name: table for table in tables}))


def _checked(path: Path, source: str, told: object, tables: dict[str, Table]) -> dict[str, dict[str, str | None]]:
    if not isinstance(told, dict):
        raise UserError(f"{path}: {source} is to hold tables, each with column: field")
    for name, columns in told.items():
        if name not in tables:
            raise UserError(f"{path}: {source} fills no table {name!r}{nearest(str(name), tables)}")
        if not isinstance(columns, dict):
            raise UserError(f"{path}: {source}.{name} is to hold column: field")
        for column, field in columns.items():
            if column not in tables[name].columns:
                close = nearest(str(column), tables[name].columns)
                raise UserError(f"{path}: {source}.{name} has no column {column!r}{close}")
            if column in tables[name].key:
                raise UserError(f"{path}: {source}.{name}.{column} is the key; it cannot come from elsewhere")
            if field is not None and not (isinstance(field, str) and re.fullmatch(r"\w+(\.\w+)*", field)):
                raise UserError(f"{path}: {source}.{name}.{column}: {field!r} is no name of a field")
    return told
