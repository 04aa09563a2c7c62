"""The marts against the golden company's answers, which were worked out by hand (README.md beside this file).

`expected/<schema>.<table>[.<part>].csv` holds a mart's rows as they must be. Its first columns, as many as it takes to
tell rows apart, are the key. Only the columns written are compared, a number to as many decimals as it is written with.
A first line `# where …` says which rows the file covers; a row that it covers and does not hold is a mistake.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pytest

EXPECTED = sorted((Path(__file__).parent / "expected").glob("*.csv"))


@dataclass(frozen=True)
class Answer:
    """One expected table: the rows as text, '' for null, by their key."""

    table: str
    where: str
    columns: tuple[str, ...]
    key_length: int
    rows: dict[tuple[str, ...], tuple[str, ...]]


def read_answer(path: Path) -> Answer:
    lines = path.read_text().splitlines()
    where = lines.pop(0).removeprefix("# where ") if lines[0].startswith("# where ") else "true"
    columns, *rows = (tuple(row) for row in csv.reader(lines))
    table = ".".join(path.stem.split(".")[:2])
    for length in range(1, len(columns) + 1):
        if len({row[:length] for row in rows}) == len(rows):
            return Answer(table, where, columns, length, {row[:length]: row for row in rows})
    raise AssertionError(f"{path.name}: a row stands twice")


def text_of(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_same(expected: str, found: str) -> bool:
    """Numbers are the same where they agree in the last decimal that is written."""
    if expected == found:
        return True
    try:
        written, given = Decimal(expected), Decimal(found)
    except InvalidOperation:
        return False
    half_a_digit = Decimal(1).scaleb(written.as_tuple().exponent) / 2
    return abs(written - given) <= half_a_digit


def differences(answer: Answer, found: list[tuple[str, ...]]) -> list[str]:
    """What a reader needs to find each mistake: the row's key, the column, what was expected and what is there."""
    problems, seen = [], set()
    for row in found:
        key = row[: answer.key_length]
        name = "/".join(key)
        if key in seen:
            problems.append(f"{name}: stands twice")
        elif key not in answer.rows:
            problems.append(f"{name}: not expected: {dict(zip(answer.columns, row, strict=True))}")
        else:
            problems += [
                f"{name}: {column}: expected {expected or 'null'}, found {value or 'null'}"
                for column, expected, value in zip(answer.columns, answer.rows[key], row, strict=True)
                if not is_same(expected, value)
            ]
        seen.add(key)
    return problems + [f"{'/'.join(key)}: missing" for key in answer.rows if key not in seen]


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_mart_gives_the_answer_worked_out_by_hand(path, golden_company):
    answer = read_answer(path)
    found = golden_company.query(f"select {', '.join(answer.columns)} from {answer.table} where {answer.where}")
    problems = differences(answer, [tuple(text_of(value) for value in row) for row in found])
    assert not problems, "\n".join([f"{answer.table} where {answer.where}", *problems])


def test_differences_are_found():
    answer = Answer("a.b", "true", ("id", "share"), 1, {("x",): ("x", "0.33"), ("y",): ("y", "")})
    assert differences(answer, [("x", "0.3333"), ("y", "")]) == []
    assert differences(answer, [("x", "0.34"), ("z", "1")]) == [
        "x: share: expected 0.33, found 0.34",
        "z: not expected: {'id': 'z', 'share': '1'}",
        "y: missing",
    ]
    assert differences(answer, [("x", ""), ("y", "0"), ("y", "")]) == [
        "x: share: expected 0.33, found null",
        "y: share: expected null, found 0",
        "y: stands twice",
    ]
