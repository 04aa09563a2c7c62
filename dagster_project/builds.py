"""What each model was last built from, kept in `ops.builds`: when an incremental model must start over, and whether the
marts belong together. Not here: building (`dbt_build.py`) and publishing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime

import duckdb

from dagster_project.warehouse import ALL_TABLES

_TABLE = """
create table if not exists ops.builds (
    relation varchar primary key,
    code varchar,               -- checksum of the dbt project
    sources varchar,            -- the active sources
    last_correction bigint,     -- newest accepted load that rewrote earlier ones (correction, replacement), 0 for none
    as_of timestamp,            -- UTC
    is_pinned boolean,          -- as_of was set, not the newest load's
    last_load bigint,           -- newest accepted load
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
    last_load: int
    as_of: datetime | None
    is_pinned: bool
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
    last_load: int
    as_of: datetime | None
    is_pinned: bool
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
        last_load=max((load_id for _, load_id, *_ in rows), default=0),
        as_of=as_of or max((extracted_at for *_, extracted_at in rows if extracted_at), default=None),
        is_pinned=as_of is not None,
        loads=hashlib.sha256(repr([row[:4] for row in rows]).encode()).hexdigest(),
    )


def last_builds(connection: duckdb.DuckDBPyConnection) -> dict[str, Build]:
    """By relation. Empty before the first build, and after one by a version that kept a shorter record."""
    connection.execute(_TABLE)
    columns = {name for (name, *_) in connection.execute("describe ops.builds").fetchall()}
    if not {field.name for field in fields(Build)} <= columns:
        connection.execute("drop table ops.builds")
        connection.execute(_TABLE)
    query = f"select relation, {', '.join(field.name for field in fields(Build))} from ops.builds"
    return {relation: Build(*rest) for relation, *rest in connection.execute(query).fetchall()}


def caught_up_to(
    builds: Mapping[str, Build], incremental: Iterable[str], code: str, basis: Basis
) -> tuple[int, datetime] | None:
    """The last load and the as_of that all `incremental` relations stand at, so that a build may add what came since.

    None where they must start over: never built, built from different states (a run died between them), the project or
    the sources changed, a correction rewrote what had been taken, or an as_of is set or was.
    """
    stood = [builds.get(relation) for relation in incremental]
    if not stood or None in stood or len({build.basis for build in stood}) > 1 or basis.is_pinned or stood[0].is_pinned:
        return None
    if {(build.code, build.sources, build.last_correction) for build in stood} != {
        (code, basis.sources, basis.last_correction)
    }:
        return None
    return (stood[0].last_load, stood[0].as_of) if stood[0].as_of else None


def variables(as_of: datetime | None, stood_at: tuple[int, datetime] | None) -> dict[str, str]:
    """dbt's variables of a build as of a set instant, or that catches up from where everything incremental stands."""
    if as_of:
        return {"as_of": as_of.isoformat(" ")}
    return {"built_to_load": str(stood_at[0]), "built_to_at": stood_at[1].isoformat(" ")} if stood_at else {}


def forget_builds(connection: duckdb.DuckDBPyConnection, relations: Iterable[str]) -> None:
    """Before they are built: what a run that dies leaves behind has no record, and is started over."""
    connection.execute("delete from ops.builds where list_contains(?, relation)", [list(relations)])


def record_builds(
    connection: duckdb.DuckDBPyConnection, relations: Iterable[str], code: str, basis: Basis, run_id: str
) -> None:
    """`code`: checksum of the dbt project they were built by."""
    stands = [code, basis.sources, basis.last_correction, basis.last_load, basis.as_of, basis.is_pinned]
    connection.execute(
        """
        insert or replace into ops.builds (
            relation, code, sources, last_correction, last_load, as_of, is_pinned, basis, run_id, built_at
        )
        select unnest(?), ?, ?, ?, ?, ?, ?, ?, ?, now() at time zone 'UTC'
        """,
        [list(relations), *stands, basis.fingerprint, run_id],
    )


def left_behind(builds: Mapping[str, Build], relations: Iterable[str], basis: Basis) -> list[str]:
    """The relations not built from the present basis: publishing them would mix two states of the company."""
    return [name for name in sorted(relations) if name not in builds or builds[name].basis != basis.fingerprint]
