"""Records as columns of text. What a text means as an amount or an instant is the landing step's business: it casts,
and keeps whole the row that cannot be cast."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa


def schema(columns: Iterable[str]) -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in columns])


def batch(records: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> pa.RecordBatch:
    """One row a record, one text column a name; a key the record lacks is null, and keys beyond `columns` are left."""
    shape = schema(columns)
    arrays = [pa.array([text(record.get(name)) for record in records], pa.string()) for name in shape.names]
    return pa.RecordBatch.from_arrays(arrays, schema=shape)


def text(value: Any) -> str | None:
    """A JSON value as text: booleans as JSON says them, what is nested as JSON, an empty text as null."""
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def aligned(rows: pa.RecordBatch, columns: Iterable[str]) -> pa.RecordBatch:
    """The same rows with exactly these columns, as text; one that is missing is null."""
    shape = schema(columns)
    there = set(rows.schema.names)
    arrays = [
        rows.column(name).cast(pa.string()) if name in there else pa.nulls(len(rows), pa.string())
        for name in shape.names
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=shape)
