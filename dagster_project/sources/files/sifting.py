"""A canonical table's rows sifted in DuckDB: kept, exact duplicates, stale versions, or rejected with a reason.

A row has one fate, settled in this order: filtered by `where`; the same as another row in all that is read of it; stale
beside a newer version of its key; rejected for what is wrong with it, the last of which is an orphaned reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import duckdb

from dagster_project.settings import nearest
from dagster_project.sources import Rejected
from dagster_project.sources.files import vocabularies
from dagster_project.sources.files.mapping import OWN_COLUMNS, Mapping, TableMapping, matching
from dagster_project.sources.files.reading import Raw, read
from dagster_project.sources.files.rules import Fault, Reading, literal, literals, readings


@dataclass(frozen=True)
class FileReport:
    """What became of one file's rows in one table: read = kept + exact_duplicates + stale + rejected + filtered."""

    table: str
    file: str
    read: int
    kept: int
    exact_duplicates: int
    stale: int
    rejected: int
    filtered: int


class Sifted:
    """One canonical table, read and sifted. `kept` is a relation; tables it refers to must have been sifted before."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, mapping: Mapping, filled: TableMapping, scratch: Path):
        self.connection, self.mapping, self.filled = connection, mapping, filled
        self.name = filled.table.name
        self.columns = list(filled.table.columns)
        self.key = list(filled.table.key[1:])
        self.parsed, self.kept = f"parsed_{self.name}", f"kept_{self.name}"
        self.faults: list[tuple[int, Fault]] = []  # a row's fault is an index here; each belongs to a part
        self.raws = [
            read(connection, mapping, part, f"raw_{self.name}_{number}", scratch)
            for number, part in enumerate(filled.parts)
        ]
        self._parse()
        self._refuse()
        self._settle_versions()
        self._reject_orphans()
        self._set_rejected_aside()
        connection.execute(
            f"create view {self.kept} as"
            f" select {_list(self.columns)} from {self.parsed} where fault is null and fate is null"
        )

    def write(self, path: Path) -> None:
        self.connection.execute(f"copy (select * from {self.kept}) to {literal(str(path))} (format parquet)")

    # -- one row of text to one canonical row ------------------------------------------------------------------------

    def _parse(self) -> None:
        shape = ", ".join(f'"{column}" {sql_type}' for column, sql_type in self.filled.table.columns.items())
        self.connection.execute(
            f"create table {self.parsed} (part integer, file integer, record bigint, position integer, {shape},"
            " fault integer, fate varchar)"
        )
        for number, raw in enumerate(self.raws):
            self._view_rows(number, raw)
            self.connection.execute(f"insert into {self.parsed} by name {self._parsing(number, raw)}")

    def _view_rows(self, number: int, raw: Raw) -> None:
        """`rows_<table>_<part>`: the raw rows, wide columns turned to rows, with what `where` keeps flagged."""
        unpivot, source = raw.part.unpivot, f"select *, 0 as position from {raw.relation}"
        if unpivot:
            wide = matching(unpivot.columns, raw.places)
            raw.places.update({unpivot.name: "wide_name", unpivot.value: "wide_value"})
            source = (
                f"select *, unnest(range({len(wide)})) as position, unnest([{literals(wide)}]) as wide_name,"
                f" unnest([{', '.join(raw.places[name] for name in wide)}]) as wide_value from {raw.relation}"
            )
        tests = ["wide_value <> ''"] if unpivot else []
        for name, texts in raw.part.where.items():
            cell = f"nullif({raw.places[name]}, '')"
            given = [text for text in texts if text is not None]
            among = [f"{cell} in ({literals(given)})"] if given else []
            tests.append(f"({' or '.join(among + [f'{cell} is null'] * (None in texts))})")
        self.connection.execute(
            f"create view rows_{self.name}_{number} as"
            f" select *, coalesce({' and '.join(tests) or 'true'}, false) as is_wanted from ({source})"
        )

    def _parsing(self, number: int, raw: Raw) -> str:
        read_columns = readings(self.mapping, self.name, raw.part, raw.places)
        for reading in read_columns:
            self._check_written(raw, reading)
        mapped = {reading.column for reading in read_columns}
        texts = ", ".join(f"{reading.text} as t_{reading.column}" for reading in read_columns)
        values = [f"{reading.value} as v_{reading.column}" for reading in read_columns]
        values += [f"null as v_{column}" for column in self.columns if column not in mapped]
        extra = _json({name: raw.places[name] for name in raw.part.extra}) if raw.part.extra else "null"
        faults = self._number_faults(number, read_columns)
        cases = "".join(f" when {fault.condition} then {code}" for code, fault in faults)
        chosen = ", ".join(f'v_{column} as "{column}"' for column in self.columns if column not in OWN_COLUMNS)
        return f"""
            select {number} as part, file, record, position, {literal(self.mapping.source)} as source_system, {chosen},
                extra_attributes, {f"case{cases} end" if cases else "null"} as fault
            from (
                select *, {", ".join(values)}
                from (
                    select file, record, position, {extra} as extra_attributes, {texts}
                    from rows_{self.name}_{number}
                    where is_wanted
                )
            )
        """

    def _check_written(self, raw: Raw, reading: Reading) -> None:
        """UserError where what the mapping itself writes, a format, a constant or a default, cannot be read."""
        rule, key = reading.rule, f"{raw.part.key}.columns.{reading.column}"
        for pattern in rule.formats:
            try:
                self.connection.execute("select try_strptime('', ?)", [pattern])
            except duckdb.Error as error:
                raise self.mapping.error(f"{key}.format", f"{pattern!r}: {str(error).splitlines()[0]}") from None
        for name in ("constant", "default"):
            if (written := getattr(rule, name)) is None or "t_field" in reading.value:
                continue
            for fault in reading.faults:
                valued = f"select *, {reading.value} as v_{reading.column} from (select ? as t_{reading.column})"
                if self.connection.execute(f"select {fault.condition} from ({valued})", [written]).fetchone()[0]:
                    raise self.mapping.error(f"{key}.{name}", f"{written!r}: {fault.reason}")

    def _number_faults(self, part: int, read_columns: list[Reading]) -> Iterator[tuple[int, Fault]]:
        """A part's faults with their codes, in the order they count: what refuses the mapping, the key, the rest."""
        faults = [fault for reading in read_columns for fault in reading.faults]
        faults += self._row_faults()
        faults.sort(key=lambda fault: 0 if fault.words else 1 if fault.column in self._placing else 2)
        for fault in faults:
            yield self._number_fault(part, fault), fault

    def _number_fault(self, part: int, fault: Fault) -> int:
        self.faults.append((part, fault))
        return len(self.faults) - 1

    def _row_faults(self) -> Iterator[Fault]:
        """What only several columns together can tell."""
        if either := vocabularies.EITHER.get(self.name):
            one, other = either
            reason = f"neither {one} nor {other} is filled"
            yield Fault(f"v_{one} is null and v_{other} is null", one, "", "null", reason)
        if self.name == "opportunities" and len(self.mapping.pipelines) > 1:
            pairs = " or ".join(
                f"(v_pipeline = {literal(stage.pipeline)} and v_stage = {literal(stage.stage)})"
                for stage in self.mapping.stages
            )
            yield Fault(f"not ({pairs})", "stage", "", "null", "not a stage of the row's pipeline")

    @property
    def _placing(self) -> set[str]:
        """The columns that tell which record a row is a version of, and which version."""
        return {*self.key, *([self.filled.latest_by] if self.filled.latest_by else [])}

    def _refuse(self) -> None:
        """UserError where a row holds a value that no rule reads."""
        for code, (part, fault) in enumerate(self.faults):
            if fault.words is None:
                continue
            worst = self.connection.execute(
                f"""
                select {fault.cells}, count(*), min(file)
                from {self.parsed} join rows_{self.name}_{part} using (file, record, position)
                where part = {part} and fault = {code}
                group by 1
                order by 2 desc, 1
                limit 1
                """
            ).fetchone()
            if worst:
                value, count, file = worst
                raw = self.raws[part]
                hint = nearest(value, fault.words) or f"; known: {', '.join(fault.words[:12])}"
                rows = f"{count} row{'s' if count > 1 else ''} of {raw.exports[file].name}"
                key = f"{raw.part.key}.columns.{fault.column}"
                raise self.mapping.error(key, f"{fault.reason} {value!r} in {rows}{hint}")

    # -- rows beside each other --------------------------------------------------------------------------------------

    def _settle_versions(self) -> None:
        """Among rows that share a key: exact duplicates, stale versions, and rivals that nothing tells apart."""
        key, latest = _list(self.key), f'"{self.filled.latest_by}"' if self.filled.latest_by else "null"
        placing = [code for code, (_, fault) in enumerate(self.faults) if fault.column in self._placing]
        misplaced = f"fault in ({', '.join(map(str, placing))})" if placing else "false"
        same_key = " and ".join(f'p."{column}" is not distinct from k."{column}"' for column in self.key)
        self.connection.execute(f"create temp table faulty as {self._with_raw_row('fault is not null')}")
        self.connection.execute(
            f"""
            create temp table repeated as
            with keys as (
                select {key} from {self.parsed} group by {key} having count(*) > 1
            ),
            candidates as (
                select p.*, p.rowid as id, f.raw_row
                from {self.parsed} as p
                join keys as k on {same_key}
                left join faulty as f on f.part = p.part and f.file = p.file and f.record = p.record
                    and f.position = p.position
            ),
            copies as (
                select *, row_number() over (
                    partition by {_list(self.columns)}, fault, raw_row order by part, file, record, position
                ) as copy
                from candidates
            ),
            versions as (
                select id,
                    rank() over (partition by {key} order by {latest} desc nulls last) as age,
                    count(*) over (partition by {key}, {latest}) as rivals
                from copies
                where copy = 1 and coalesce(not {misplaced}, true)
            )
            select id, 'duplicate' as fate from copies where copy > 1
            union all
            select id, case when age > 1 then 'stale' else 'rival' end from versions where age > 1 or rivals > 1
            """
        )
        self.connection.execute(
            f"update {self.parsed} as p set fate = r.fate from repeated as r where r.id = p.rowid and r.fate <> 'rival'"
        )
        reason = "shares its key with another row" + (
            f" and its {self.filled.latest_by} too" if self.filled.latest_by else "; `latest_by` keeps the newest"
        )
        for part, raw in enumerate(self.raws):
            rules = [raw.part.columns.get(column) for column in self.key]
            exported = ", ".join(name for rule in rules if rule for name in rule.columns)
            code = self._number_fault(part, Fault("", self.key[0], exported, "null", reason))
            self.connection.execute(
                f"update {self.parsed} as p set fault = {code} from repeated as r"
                f" where r.id = p.rowid and r.fate = 'rival' and p.part = {part} and p.fault is null"
            )
        self.connection.execute("drop table faulty")
        self.connection.execute("drop table repeated")

    def _reject_orphans(self) -> None:
        """Rows that refer to a row that was not kept; again while that leaves others of the same table orphaned."""
        checks = []
        for part, raw in enumerate(self.raws):
            for column, rule in raw.part.columns.items():
                if rule.references:
                    fault = Fault("", column, ", ".join(rule.columns), "null", f"no such row in {rule.references}")
                    checks.append((self._number_fault(part, fault), part, column, rule.references))
        while sum(self._reject_orphans_of(*check) for check in checks):
            pass

    def _reject_orphans_of(self, code: int, part: int, column: str, target: str) -> int:
        target_id = self.mapping.tables[target].table.key[1]
        return self.connection.execute(
            f"""
            update {self.parsed} as p set fault = {code}
            where part = {part} and fault is null and fate is null and "{column}" is not null and not exists (
                select 1 from parsed_{target} as t
                where t."{target_id}" = p."{column}" and t.fault is null and t.fate is null
            )
            """
        ).fetchone()[0]

    # -- what was not kept, and the account of it --------------------------------------------------------------------

    def _with_raw_row(self, condition: str) -> str:
        """SQL of the rows of `parsed` for which the condition holds: their place, fault, and raw row as JSON text."""
        return " union all ".join(
            f"""
            select part, file, record, position, fault, {_json(raw.places)} as raw_row
            from {self.parsed} join rows_{self.name}_{part} using (file, record, position)
            where part = {part} and {condition}
            """
            for part, raw in enumerate(self.raws)
        )

    def _set_rejected_aside(self) -> None:
        """Keep what the account needs and drop the raw text."""
        self.connection.execute(
            f"create table rejected_{self.name} as {self._with_raw_row('fault is not null and fate is null')}"
        )
        self.reports = [
            self._report(part, file) for part, raw in enumerate(self.raws) for file in range(len(raw.exports))
        ]
        for part, raw in enumerate(self.raws):
            self.connection.execute(f"drop view rows_{self.name}_{part}")
            self.connection.execute(f"drop table {raw.relation}")

    def _report(self, part: int, file: int) -> FileReport:
        raw, of_file = self.raws[part], f"file = {file}"
        count = self._count
        unreadable = count(f"{raw.relation}_unreadable", of_file)
        here = f"part = {part} and {of_file}"
        return FileReport(
            table=self.name,
            file=raw.exports[file].name,
            read=count(f"rows_{self.name}_{part}", of_file) + unreadable,
            kept=count(self.parsed, f"{here} and fault is null and fate is null"),
            exact_duplicates=count(self.parsed, f"{here} and fate = 'duplicate'"),
            stale=count(self.parsed, f"{here} and fate = 'stale'"),
            rejected=count(f"rejected_{self.name}", here) + unreadable,
            filtered=count(f"rows_{self.name}_{part}", f"{of_file} and not is_wanted"),
        )

    def _count(self, relation: str, condition: str) -> int:
        return self.connection.execute(f"select count(*) from {relation} where {condition}").fetchone()[0]

    def rejected(self) -> Iterator[Rejected]:
        """The rejected rows, file by file, in the files' order."""
        for part, raw in enumerate(self.raws):
            for file in range(len(raw.exports)):
                yield from self._rejected_of(part, raw, file)

    def _rejected_of(self, part: int, raw: Raw, file: int) -> Iterator[Rejected]:
        export, unreadable = raw.exports[file], f"{raw.relation}_unreadable where file = {file} order by position"
        rows = self._stream(
            f"select record, fault, raw_row from rejected_{self.name} where part = {part} and file = {file}"
            " order by record, position"
        )
        gaps = self._stream(f"select position, reason, text from {unreadable}")
        positions = (position for (position,) in self._stream(f"select position from {unreadable}"))
        row, gap = next(rows, None), next(gaps, None)
        line = 0
        for place in export.locate(positions):
            if row is None and gap is None:
                return
            line = place.line
            if gap is not None and place.position == gap[0]:
                yield self._unreadable(export.name, line, gap[1], gap[2] or place.text)
                gap = next(gaps, None)
            while row is not None and place.number == row[0]:
                yield self._rejected_row(export.name, line, *row[1:])
                row = next(rows, None)
        # nothing may be lost even where a file is so broken that its records cannot be counted twice alike
        for rest in filter(None, chain([gap], gaps)):
            yield self._unreadable(export.name, line, *rest[1:])
        for rest in filter(None, chain([row], rows)):
            yield self._rejected_row(export.name, line, *rest[1:])

    def _unreadable(self, file: str, line: int, reason: str, text: str | None) -> Rejected:
        return Rejected(self.name, file, line, "", None, reason, json.dumps(text))

    def _rejected_row(self, file: str, line: int, code: int, raw_row: str) -> Rejected:
        part, fault = self.faults[code]
        rule = self.raws[part].part.columns.get(fault.column)
        cells = json.loads(raw_row)
        values = [cells[name] for name in (rule.columns if rule else ()) if cells[name] is not None]
        value = rule.join.join(values) if values else None
        return Rejected(self.name, file, line, fault.export_column or fault.column, value, fault.reason, raw_row)

    def _stream(self, sql: str) -> Iterator[tuple]:
        cursor = self.connection.cursor().execute(sql)
        while batch := cursor.fetchmany(10_000):
            yield from batch


def _json(places: dict[str, str]) -> str:
    pairs = ", ".join(f"{literal(name)}, {place}" for name, place in places.items())
    return f"cast(json_object({pairs}) as varchar)"


def _list(columns: list[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
