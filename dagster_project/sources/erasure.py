"""Erasing one person from the raw layers and the archive of locks; a full rebuild then clears what was built from them.

Rows, keys and ids stay, so history and counts hold: the person is left as somebody without a name. Erase in the source
system first: an unchanged record does not bring the person back, a later change of it would. Not reached from here:
exports and the demo's cache on disk, and releases published earlier, which last until they are swept.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import duckdb

from dagster_project.settings import UserError
from dagster_project.transactions import transaction

# Where a row is about one person: her or his e-mail, and the columns that tell who it is.
PERSONAL = {
    "raw_salesforce.user": ("Email", ("Name",)),
    "raw_salesforce.contact": ("Email", ("Name",)),
    "raw_salesforce.lead": ("Email", ("Name",)),
    "raw_hubspot.owner": ("email", ("firstName", "lastName")),
    "raw_hubspot.contact": ("email", ("firstname", "lastname")),
    "raw_gong.user": ("emailAddress", ("firstName", "lastName")),
    "raw_gong.call_party": ("emailAddress", ("name",)),
    "raw_files.users": ("email", ("name", "extra_attributes")),
    "raw_files.contacts": ("email", ("name", "extra_attributes")),
    "raw_files.activity_participants": ("email", ("extra_attributes",)),
}
# Logs that keep other tables' rows as text: a row that names the person goes blank.
LOGS = ("value", "row_key", "row_text")


@dataclass(frozen=True)
class Erased:
    """rows: relation to the number of rows that named the person."""

    rows: dict[str, int]

    def __str__(self) -> str:
        told = ", ".join(f"{count:,} of {relation}" for relation, count in self.rows.items())
        return f"erased from {sum(self.rows.values()):,} rows: {told}"


def erase_person(connection: duckdb.DuckDBPyConnection, email: str) -> Erased:
    """Take the person with this e-mail (in any case) out of every raw layer, the locks and the log of failing rows.

    The e-mail becomes one made-up address in all systems, so the person stays one; names become 'Erased'. What the
    person said in a call goes blank. Where other columns' text has the e-mail or the full name, that part goes too.
    UserError where no row has the e-mail.
    """
    email = email.strip().lower()
    stand_in = f"erased-{uuid4().hex[:12]}@erased.invalid"
    rows: dict[str, int] = {}
    with transaction(connection):
        names = _full_names(connection, email)
        _erase_what_was_said(connection, email)  # while a call's parties still tell who spoke
        for relation, columns in _text_columns(connection).items():
            rows[relation] = _erase_mentions(connection, relation, columns, [email, *names], stand_in)
            if relation in PERSONAL:
                rows[relation] += _erase_rows(connection, relation, email, stand_in)
        if not any(rows.values()):
            raise UserError(f"no raw row has the e-mail {email!r}; check how the source spells it")
    connection.execute("checkpoint")
    return Erased({relation: count for relation, count in rows.items() if count})


def _erase_what_was_said(connection: duckdb.DuckDBPyConnection, email: str) -> None:
    address, _ = PERSONAL["raw_gong.call_party"]
    connection.execute(
        f"""
        update raw_gong.call_transcript as said set text = null from raw_gong.call_party as party
        where said.call_id = party.call_id and said.speakerId = party.speakerId and {_is(address)}
        """,
        [email],
    )


def _full_names(connection: duckdb.DuckDBPyConnection, email: str) -> list[str]:
    """Names of more than one word, as a single one may be a common word."""
    found: set[str] = set()
    for relation, (address, columns) in PERSONAL.items():
        parts = ", ".join(f'"{column}"' for column in columns if column != "extra_attributes")
        if parts:
            query = f"select distinct trim(concat_ws(' ', {parts})) from {relation} where {_is(address)}"
            found |= {name for (name,) in connection.execute(query, [email]).fetchall()}
    return sorted(name for name in found if " " in name)


def _text_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Relation to its text columns that may mention somebody: all but those that tell who a row is about."""
    found = connection.execute(
        """
        select schema_name || '.' || table_name as relation, column_name
        from duckdb_columns() inner join duckdb_tables() using (database_name, schema_name, table_name)
        where data_type = 'VARCHAR' and table_name <> 'loads'
        and (schema_name like 'raw\\_%' escape '\\' or schema_name = 'archive'
            or relation = 'forecast.gate_failing_rows')
        order by all
        """
    ).fetchall()
    columns: dict[str, list[str]] = {}
    for relation, column in found:
        address, own = PERSONAL.get(relation, ("", ()))
        mentions = columns.setdefault(relation, [])
        if column not in (address, *own):
            mentions.append(column)
    return columns


def _erase_mentions(
    connection: duckdb.DuckDBPyConnection, relation: str, columns: list[str], words: list[str], stand_in: str
) -> int:
    [(pattern,)] = connection.execute(
        r"select '(?i)(^|\W)(' || string_agg(regexp_escape(unnest), '|') || ')($|\W)' from unnest(?)", [words]
    ).fetchall()
    count = 0
    for column in columns:
        value = "null" if column in LOGS else f"regexp_replace(\"{column}\", $pattern, $put, 'g')"
        given = {"pattern": pattern} | ({} if column in LOGS else {"put": rf"\1{stand_in}\3"})
        count += connection.execute(
            f'update {relation} set "{column}" = {value} where regexp_matches("{column}", $pattern)', given
        ).fetchone()[0]
    return count


def _erase_rows(connection: duckdb.DuckDBPyConnection, relation: str, email: str, stand_in: str) -> int:
    address, columns = PERSONAL[relation]
    blank = "".join(f', "{name}" = {"null" if name == "extra_attributes" else repr("Erased")}' for name in columns)
    return connection.execute(
        f'update {relation} set "{address}" = ?{blank} where {_is(address)}', [stand_in, email]
    ).fetchone()[0]


def _is(address: str) -> str:
    return f'lower(trim("{address}")) = ?'
