"""Export files as text tables in DuckDB: every cell VARCHAR, every record numbered, and the line each record stands on.

What a cell means is the rules' business. A record that cannot even be split into cells is set aside as unreadable.
"""

from __future__ import annotations

import codecs
import csv
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from dagster_project.settings import UserError, nearest
from dagster_project.sources.files.mapping import Mapping, Part, matching
from dagster_project.sources.files.rules import literal

DELIMITERS = ",;\t|"
_UNREADABLE = {
    "MISSING COLUMNS": "fewer cells than the header",
    "TOO MANY COLUMNS": "more cells than the header",
    "UNQUOTED VALUE": "a quote that is not closed",
    "LINE SIZE OVER MAXIMUM": "a line over 2 MB; is a quote not closed?",
    "INVALID ENCODING": "not UTF-8; give `encoding`, such as latin-1, cp1252 or utf-16",
}


@dataclass(frozen=True)
class Located:
    """Where a record stands. `number` counts readable records; an unreadable one has its `position` instead."""

    line: int
    number: int | None = None
    position: int | None = None
    text: str = ""


class Export:
    """One file of an export. `name` is what messages call it; `path` may be a copy re-encoded to UTF-8."""

    def __init__(self, name: str, path: Path, delimiter: str | None = None):
        self.name, self.path, self.delimiter = name, path, delimiter

    def columns(self, connection: duckdb.DuckDBPyConnection, wanted: set[str]) -> list[str] | None:
        """Its columns in order; None where an empty file does not tell."""
        raise NotImplementedError

    def load(self, connection: duckdb.DuckDBPyConnection, file: int, relation: str, places: list[str]) -> None:
        """Append its records to `relation` and those that cannot be read to `<relation>_unreadable`."""
        raise NotImplementedError

    def locate(self, unreadable: Iterable[int]) -> Iterator[Located]:
        """Every record in order, given the positions of the unreadable ones."""
        raise NotImplementedError

    def error(self, problem: str) -> UserError:
        return UserError(f"{self.name}: {problem}")

    def run(self, connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple]:
        """The answer of SQL over the file; UserError where the file is not what its name says."""
        try:
            return connection.execute(sql).fetchall()
        except duckdb.Error as error:
            raise self.error(f"cannot be read as {self.path.suffix[1:]}: {str(error).splitlines()[0]}") from None


class CsvFile(Export):
    """Delimited text with a header, quoted by double quotes (RFC 4180). Unreadable records are known by byte offset."""

    def columns(self, connection, wanted):
        if self.path.stat().st_size == 0:
            raise self.error("the file is empty; even an export without rows has a header")
        headers = {delimiter: self._header(delimiter) for delimiter in (self.delimiter or DELIMITERS)}
        # the delimiter under which most mapped columns are found, then the one that makes most cells
        self.delimiter = max(headers, key=lambda d: (len(wanted & set(headers[d])), len(headers[d])))
        self.header = header = headers[self.delimiter]
        if any("\ufffd" in name for name in header):
            raise self.error("the header is " + _UNREADABLE["INVALID ENCODING"])
        return header

    def _header(self, delimiter: str) -> list[str]:
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            try:
                first = next((record for record in _reader(stream, delimiter) if record), [])
            except csv.Error as error:
                raise self.error(f"the header cannot be read: {error}") from None
        return list(_numbered(name.strip() for name in first))

    def load(self, connection, file, relation, places):
        columns = ", ".join(f"{literal(place)}: 'VARCHAR'" for place in places)
        self.run(
            connection,
            f"""
            insert into {relation} by name
            select {file} as file, row_number() over () as record, *
            from read_csv(
                {literal(str(self.path))}, auto_detect = false, header = true, delim = {literal(self.delimiter)},
                quote = '"', escape = '"', columns = {{{columns}}}, store_rejects = true, rejects_limit = 0
            )
            """,
        )
        reasons = " ".join(f"when {literal(key)} then {literal(reason)}" for key, reason in _UNREADABLE.items())
        reason = f"min(case cast(error_type as varchar) {reasons} else error_message end)"
        connection.execute(
            f"""
            insert into {relation}_unreadable
            select {file}, line_byte_position, {reason}, null
            from reject_errors
            group by line_byte_position
            """
        )
        connection.execute("drop table reject_errors")
        connection.execute("drop table reject_scans")

    def locate(self, unreadable):
        offset = number = 0
        broken = iter(unreadable)
        position = next(broken, None)
        text: list[str] = []

        def lines(stream: Iterable[str]) -> Iterator[str]:
            nonlocal offset
            for line in stream:
                offset += len(line.encode("utf-8", "surrogateescape"))
                text.append(line)
                yield line

        with self.path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            # an empty line is a record only where records have a single cell
            records = _first_lines(_reader(lines(stream), self.delimiter), keep_empty=len(self.header) == 1)
            next(records, None)
            text.clear()
            for line in records:
                if position is not None and position < offset:
                    whole = "".join(text).strip("\r\n").encode("utf-8", "surrogateescape")
                    yield Located(line, position=position, text=whole.decode("utf-8", "backslashreplace"))
                    position = next(broken, None)
                else:
                    number += 1
                    yield Located(line, number=number)
                text.clear()


def _first_lines(reader: Iterator[list[str]], keep_empty: bool) -> Iterator[int]:
    """The line each record starts on."""
    line = 1
    try:
        for record in reader:
            if record or keep_empty:
                yield line
            line = reader.line_num + 1
    except csv.Error:
        return


class ParquetFile(Export):
    """A Parquet file. It has no lines: a record's number stands for its line."""

    def columns(self, connection, wanted):
        return [row[0] for row in self.run(connection, f"describe select * from {self._scan()}")]

    def load(self, connection, file, relation, places):
        named = zip(places, self.columns(connection, set()), strict=True)
        cells = ", ".join(f"cast({_quoted(name)} as varchar) as {place}" for place, name in named)
        self.run(
            connection,
            f"insert into {relation} by name"
            f" select {file} as file, row_number() over () as record, {cells} from {self._scan()}",
        )

    def locate(self, unreadable):
        number = 0
        while True:
            number += 1
            yield Located(number, number=number)

    def _scan(self) -> str:
        return f"read_parquet({literal(str(self.path))})"


class JsonFile(ParquetFile):
    """An array of objects, or one object a line. In an array the element's number stands for its line."""

    def columns(self, connection, wanted):
        objects = f"{self._scan()} where json_type(json) = 'OBJECT'"
        keys = self.run(connection, f"select distinct unnest(json_keys(json)) from {objects} order by 1")
        return [key for (key,) in keys] or None

    def load(self, connection, file, relation, places):
        names = self.columns(connection, set()) or []
        cells = "".join(f", json ->> {_pointer(name)} as {place}" for place, name in zip(places, names, strict=True))
        numbered = f"(select row_number() over () as record, json from {self._scan()})"
        self.run(
            connection,
            f"insert into {relation} by name"
            f" select {file} as file, record{cells} from {numbered} where json_type(json) = 'OBJECT'",
        )
        self.run(
            connection,
            f"""
            insert into {relation}_unreadable
            select {file}, record, 'not a JSON object', cast(json as varchar)
            from {numbered}
            where json is null or json_type(json) <> 'OBJECT'
            """,
        )

    def locate(self, unreadable):
        broken = set(unreadable)
        for number, (line, text) in enumerate(self._lines(), 1):
            yield Located(line, position=number, text=text) if number in broken else Located(line, number=number)

    def _lines(self) -> Iterator[tuple[int, str]]:
        if self._is_array:
            yield from ((located.line, "") for located in super().locate(()))
        with self.path.open(encoding="utf-8-sig", errors="replace") as stream:
            yield from ((line, text.rstrip("\n")) for line, text in enumerate(stream, 1) if text.strip())

    @property
    def _is_array(self) -> bool:
        with self.path.open(encoding="utf-8-sig", errors="replace") as stream:
            return next((line.lstrip()[0] for line in stream if line.strip()), "") == "["

    def _scan(self) -> str:
        if self._is_array:
            return f"read_json_objects({literal(str(self.path))}, format = 'array')"
        return f"read_ndjson_objects({literal(str(self.path))}, ignore_errors = true)"


KINDS = {
    ".csv": CsvFile, ".tsv": CsvFile, ".txt": CsvFile, ".parquet": ParquetFile, ".json": JsonFile, ".jsonl": JsonFile,
    ".ndjson": JsonFile,
}  # fmt: skip


@dataclass(frozen=True)
class Raw:
    """A part's files as text in `relation`: file (an index into `exports`), record, and the columns `places` names."""

    part: Part
    relation: str
    exports: tuple[Export, ...]
    places: dict[str, str]


def find(mapping: Mapping, part: Part) -> list[tuple[str, Path]]:
    """The files a part names, as written and where they are, in order. UserError where there is none."""
    found: dict[str, Path] = {}
    for pattern in part.files:
        exact = mapping.folder / pattern
        paths = [exact] if exact.is_file() or Path(pattern).is_absolute() else sorted(mapping.folder.glob(pattern))
        paths = [path for path in paths if path.is_file()]
        if not paths:
            beside = exact.parent if exact.parent.is_dir() else mapping.folder
            known = [path.name for path in beside.iterdir()]
            raise mapping.error(f"{part.key}.files", f"no file {pattern!r}{nearest(exact.name, known)}")
        for path in paths:
            if path.suffix.lower() not in KINDS:
                raise mapping.error(f"{part.key}.files", f"{path.name} is none of {', '.join(KINDS)}")
            found[str(path.relative_to(mapping.folder)) if path.is_relative_to(mapping.folder) else path.name] = path
    return list(found.items())


def read(connection: duckdb.DuckDBPyConnection, mapping: Mapping, part: Part, relation: str, scratch: Path) -> Raw:
    """Read a part's files into `relation`. UserError for a file that cannot be read or lacks a mapped column."""
    wanted = _wanted(part)
    exports, headers, places = [], [], {}
    for name, path in find(mapping, part):
        copy = scratch / f"{relation}-{len(exports)}{path.suffix}"
        if codecs.lookup(part.encoding).name not in ("utf-8", "utf-8-sig", "ascii"):
            path = _as_utf8(name, path, part.encoding, copy)
        elif set("*?[") & set(str(path)):  # DuckDB would take the name for a pattern
            copy.symlink_to(path.absolute())
            path = copy
        export = KINDS[path.suffix.lower()](name, path, part.delimiter)
        header = export.columns(connection, set(wanted))
        if header is not None:
            _check_header(mapping, part, wanted, name, header)
        for column in wanted if header is None else header:
            places.setdefault(column, f"c{len(places)}")
        exports.append(export)
        headers.append(header or [])
    columns = "".join(f", {place} varchar" for place in places.values())
    connection.execute(f"create table {relation} (file integer, record bigint{columns})")
    connection.execute(
        f"create table {relation}_unreadable (file integer, position bigint, reason varchar, text varchar)"
    )
    for file, (export, header) in enumerate(zip(exports, headers, strict=True)):
        export.load(connection, file, relation, [places[column] for column in header])
    return Raw(part, relation, tuple(exports), places)


def _wanted(part: Part) -> dict[str, str]:
    """The export's columns a part reads, and the mapping's key that reads each; wildcards of an unpivot left out."""
    wanted = {name: f"extra.{name}" for name in part.extra} | {name: f"where.{name}" for name in part.where}
    wanted |= {name: f"columns.{column}" for column, rule in part.columns.items() for name in rule.columns}
    made = (part.unpivot.name, part.unpivot.value) if part.unpivot else ()
    return {name: key for name, key in wanted.items() if name not in made}


def _check_header(mapping: Mapping, part: Part, wanted: dict[str, str], file: str, header: list[str]) -> None:
    if part.unpivot:
        wanted = wanted | {name: "unpivot.columns" for name in matching(part.unpivot.columns, header)}
    for name, key in wanted.items():
        if name not in header:
            raise mapping.error(f"{part.key}.{key}", f"no column {name!r} in {file}{nearest(name, header)}")
        if f"{name} [2]" in header:
            raise mapping.error(f"{part.key}.{key}", f"column {name!r} stands twice in the header of {file}")


def _numbered(header: Iterable[str]) -> Iterator[str]:
    """A header without repetitions: the second `Amount` is called `Amount [2]`."""
    seen: dict[str, int] = {}
    for name in header:
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name} [{seen[name]}]"


def _as_utf8(name: str, path: Path, encoding: str, copy: Path) -> Path:
    try:
        with path.open(encoding=encoding, newline="") as source, copy.open("w", encoding="utf-8", newline="") as target:
            shutil.copyfileobj(source, target)
    except UnicodeError:
        raise UserError(f"{name}: not {encoding} text; give its `encoding`") from None
    return copy


def _reader(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(1 << 30)
    return csv.reader(lines, delimiter=delimiter)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _pointer(name: str) -> str:
    return literal("/" + name.replace("~", "~0").replace("/", "~1"))
