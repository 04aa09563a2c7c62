"""What each model was last built from, kept in `ops.builds`: when an incremental model must start over, and whether the
marts belong together. Not here: building (`dbt_build.py`) and publishing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb

from dagster_project.warehouse import ALL_TABLES

_TABLE = """
create table if not exists ops.builds (
    relation varchar primary key,
    code varchar,               -- checksum of the model's SQL
    sources varchar,            -- the active sources
    last_correction bigint,     -- newest accepted load that rewrote earlier ones (correction, replacement), 0 for none
    as_of timestamp,            -- UTC
    basis varchar,              -- fingerprint of accepted loads and as_of: equal bases, one set
    run_id varchar,
    built_at timestamp          -- UTC
)
"""


@dataclass(frozen=True)
class Basis:
    """What the models would be built from now. `as_of` is None in a warehouse without accepted loads."""

    sources: str
    last_correction: int
    as_of: datetime | None
    loads: str

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.loads}|{self.as_of}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Build:
    """What a model was built from."""

    code: str
    sources: str
    last_correction: int
    as_of: datetime | None
    basis: str


def present_basis(connection: duckdb.DuckDBPyConnection, as_of: datetime | None) -> Basis:
    """The accepted loads of the active sources; `as_of` (naive UTC) where the settings pin one."""
    schemas = sorted({table.schema for table in ALL_TABLES})
    loads = " union all ".join(
        f"select '{schema}' as raw_schema, load_id, origin, system, kind, extracted_at from {schema}.loads "
        "where status = 'accepted'"
        for schema in schemas
    )
    rows = connection.execute(
        f"select distinct l.* from ({loads}) as l inner join ops.active_sources as a "
        "on a.origin = l.origin and a.system = l.system order by all"
    ).fetchall()
    return Basis(
        sources=", ".join(sorted({f"{origin}/{system}" for _, _, origin, system, _, _ in rows})),
        last_correction=max((load_id for _, load_id, _, _, kind, _ in rows if kind != "load"), default=0),
        as_of=as_of or max((extracted_at for *_, extracted_at in rows if extracted_at), default=None),
        loads=hashlib.sha256(repr([row[:4] for row in rows]).encode()).hexdigest(),
    )


def last_builds(connection: duckdb.DuckDBPyConnection) -> dict[str, Build]:
    connection.execute(_TABLE)
    query = "select relation, code, sources, last_correction, as_of, basis from ops.builds"
    return {relation: Build(*rest) for relation, *rest in connection.execute(query).fetchall()}


def must_start_over(code: str, build: Build | None, basis: Basis) -> bool:
    """Whether an incremental model may not add to what stands: its SQL, its sources or a correction changed under it,
    or time went back."""
    if build is None or (build.code, build.sources, build.last_correction) != (
        code, basis.sources, basis.last_correction
    ):  # fmt: skip
        return True
    return build.as_of is not None and basis.as_of is not None and basis.as_of < build.as_of


def record_builds(connection: duckdb.DuckDBPyConnection, codes: Mapping[str, str], basis: Basis, run_id: str) -> None:
    """`codes`: relation to the checksum of the SQL it was built by."""
    connection.execute(_TABLE)
    for relation, code in codes.items():
        connection.execute(
            "insert or replace into ops.builds values (?, ?, ?, ?, ?, ?, ?, now() at time zone 'UTC')",
            [relation, code, basis.sources, basis.last_correction, basis.as_of, basis.fingerprint, run_id],
        )


def left_behind(builds: Mapping[str, Build], relations: Iterable[str], basis: Basis) -> list[str]:
    """The relations not built from the present basis: publishing them would mix two states of the company."""
    return [name for name in sorted(relations) if name not in builds or builds[name].basis != basis.fingerprint]
