"""A small company's CRM export with its mapping, and ways to spoil it."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

MAPPING = """\
version: 1
source: acme
timezone: UTC
currency: USD
as_of: 2025-06-30
stages:
  - {stage: Prospecting, is_pipeline: false}
  - {stage: Engaging}
  - {stage: Won, outcome: won}
  - {stage: Lost, outcome: lost}
tables:
  users:
    files: users.csv
    columns: {user_id: id, name: name, email: email, team: team}
  accounts:
    files: accounts.csv
    columns: {account_id: id, name: name}
  opportunities:
    files: deals.csv
    columns:
      opportunity_id: id
      stage: {column: stage, trim: true}
      amount: {column: value, type: money}
      owner_id: {column: owner, references: users}
      account_id: {column: account, references: accounts}
      created_at: {column: created, format: "%Y-%m-%d"}
      close_date: {column: closes, type: date}
"""
DEALS = 120


def write_export(folder: Path) -> Path:
    """The export's folder: a mapping and three files."""
    folder.mkdir(parents=True)
    (folder / "mapping.yml").write_text(MAPPING)
    _write(folder / "users.csv", ["id", "name", "email", "team"],
           [[f"u{n}", f"Rep {n}", f"rep{n}@acme.example", f"Team {n % 2}"] for n in range(4)])  # fmt: skip
    _write(folder / "accounts.csv", ["id", "name"], [[f"a{n}", f"Account {n}, Inc."] for n in range(20)])
    stages = ("Prospecting", "Engaging", "Won", "Lost")
    first = date(2024, 7, 1)
    _write(
        folder / "deals.csv",
        ["id", "stage", "value", "owner", "account", "created", "closes"],
        [
            [
                f"d{n}", stages[n % 4], f"${1000 + 37 * n:,}.00", f"u{n % 4}", f"a{n % 20}",
                first + timedelta(days=2 * n), first + timedelta(days=2 * n + 60),
            ]
            for n in range(DEALS)
        ],
    )  # fmt: skip
    return folder


def cut(file: Path, share: float = 0.5) -> None:
    """Leave only the first part of a file, as a transfer that broke off does."""
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def _write(path: Path, header: list[str], rows: list[list]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
