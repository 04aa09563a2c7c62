"""Record ids that look like the real systems' own: 18 characters for Salesforce, digits for HubSpot and Gong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

DIGITS = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8)
CHECKS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", dtype=np.uint8)
POD = b"5g00000"


def text(letters: np.ndarray) -> pa.Array:
    """Rows of single bytes, all of one width, as an Arrow string array."""
    rows, width = letters.shape
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int64)
    kind = pa.string() if rows * width < 2**31 else pa.large_string()
    if kind == pa.string():
        offsets = offsets.astype(np.int32)
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(letters))])


def salesforce_ids(prefix: str, numbers: np.ndarray) -> pa.Array:
    """Ids of one object: key prefix, pod, a base-62 number and the suffix that makes them safe in any case."""
    numbers = np.asarray(numbers, dtype=np.int64)
    letters = np.empty((numbers.size, 18), dtype=np.uint8)
    letters[:, :10] = np.frombuffer(prefix.encode() + POD, dtype=np.uint8)
    for place in range(5):
        letters[:, 14 - place] = DIGITS[numbers // 62**place % 62]
    is_upper = (letters[:, :15] >= ord("A")) & (letters[:, :15] <= ord("Z"))
    weights = (1 << np.arange(5)).astype(np.uint8)
    letters[:, 15:] = CHECKS[(is_upper.reshape(-1, 3, 5) * weights).sum(axis=2)]
    return text(letters)


def number_ids(first: int, numbers: np.ndarray) -> pa.Array:
    """Decimal ids counting from `first`."""
    return pa.array(np.asarray(numbers, dtype=np.int64) + first).cast(pa.string())
