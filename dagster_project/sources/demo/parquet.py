"""Arrow columns of the simulated numbers, and the one writer of the demo's files: same input, same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dagster_project.sources import Table
from dagster_project.sources.demo.clock import DAY
from dagster_project.sources.demo.tracks import NONE

ROWS_PER_GROUP = 122_880
TYPES = {
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "DECIMAL(18,2)": pa.decimal128(18, 2),
    "DECIMAL(9,4)": pa.decimal128(9, 4),
    "DECIMAL(18,8)": pa.decimal128(18, 8),
}


def _masked(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    missing = values == NONE
    return pa.array(values, mask=missing if missing.any() else None).cast(kind)


def instants(seconds) -> pa.Array:
    """TIMESTAMP from unix seconds."""
    seconds = np.asarray(seconds, dtype=np.int64)
    missing = seconds == NONE
    return pa.array(seconds * 1_000_000, mask=missing if missing.any() else None).cast(pa.timestamp("us"))


def dates(days) -> pa.Array:
    """DATE from day numbers."""
    days = np.asarray(days, dtype=np.int32)
    return _masked(days, pa.date32())


def whole(values) -> pa.Array:
    return _masked(np.asarray(values, dtype=np.int64), pa.int64())


def flags(values) -> pa.Array:
    """BOOLEAN from 0, 1 and `NONE`."""
    values = np.asarray(values)
    if values.dtype == bool:
        return pa.array(values)
    missing = values == NONE
    return pa.array(values == 1, mask=missing if missing.any() else None)


def decimals(units, kind: str = "DECIMAL(18,2)") -> pa.Array:
    """DECIMAL from whole numbers of its last place (cents, for money)."""
    units = np.asarray(units, dtype=np.int64)
    words = np.zeros((units.size, 2), dtype=np.int64)
    missing = units == NONE
    words[:, 0] = np.where(missing, 0, units)
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    return pa.Array.from_buffers(TYPES[kind], units.size, [valid, pa.py_buffer(words)])


def words(codes, vocabulary: Sequence[str]) -> pa.Array:
    """VARCHAR from positions in a small vocabulary."""
    codes = np.asarray(codes, dtype=np.int32)
    missing = codes == NONE
    positions = pa.array(codes, mask=missing if missing.any() else None)
    return pa.DictionaryArray.from_arrays(positions, pa.array(list(vocabulary), type=pa.string()))


def always(value: str, rows: int) -> pa.Array:
    return words(np.zeros(rows, dtype=np.int32), [value])


def picked(values: pa.Array, positions) -> pa.Array:
    """VARCHAR by position in a long array, such as the ids of all accounts."""
    positions = np.asarray(positions, dtype=np.int64)
    missing = positions == NONE
    return pc.take(values, pa.array(positions, mask=missing if missing.any() else None))


def joined(*parts) -> pa.Array:
    """Row by row, the parts one after another; a null part empties the row."""
    plain = [part.cast(pa.string()) if isinstance(part, pa.DictionaryArray) else part for part in parts]
    return pc.binary_join_element_wise(*plain, "")


class Files:
    """Writes one Parquet file a table, appending chunks in order."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows: dict[str, int] = {}
        self._writers: dict[str, pq.ParquetWriter] = {}

    def write(self, table: Table, extracted_days, **columns) -> None:
        """Append rows of a raw table. `extracted_days`: the day of the simulated load each row arrived in."""
        unknown = set(columns) - set(table.columns)
        if unknown:
            raise ValueError(f"{table.relation} has no column {sorted(unknown)}")
        rows = len(extracted_days)
        arrays = {name: self._typed(columns.get(name), kind, rows) for name, kind in table.columns.items()}
        arrays["_extracted_at"] = instants(np.asarray(extracted_days, dtype=np.int64) * DAY + DAY - 1)
        self._append(f"{table.schema}.{table.name}", pa.table(arrays))

    def write_truth(self, name: str, columns: dict) -> None:
        self._append(f"truth/{name}", pa.table(columns))

    def _typed(self, values, kind: str, rows: int) -> pa.Array:
        if values is None:
            return pa.nulls(rows, TYPES[kind])
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        if not isinstance(values, pa.Array):
            values = pa.array(values, type=TYPES[kind])
        if isinstance(values, pa.DictionaryArray) and kind == "VARCHAR":
            return values
        return values if values.type == TYPES[kind] else values.cast(TYPES[kind])

    def _append(self, name: str, rows: pa.Table) -> None:
        self.rows[name] = self.rows.get(name, 0) + rows.num_rows
        if name not in self._writers:
            path = self.folder / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writers[name] = pq.ParquetWriter(
                path, rows.schema, compression="snappy", store_decimal_as_integer=True, write_statistics=True
            )
        self._writers[name].write_table(rows, row_group_size=ROWS_PER_GROUP)

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
