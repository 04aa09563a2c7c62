"""`mapping.yml` read and checked: YAML in, typed objects out. Nothing here opens an export.

Every scalar of the YAML is text as written (`No` stays `No`, `007` stays `007`, a date stays a date's text); what a key
expects decides how its text is read. A mistake is a UserError of one line: the file, the key, what is wrong, and the
nearest thing that would have been right.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo, available_timezones

import yaml

from dagster_project.settings import UserError, nearest
from dagster_project.sources import Table
from dagster_project.sources.files import shapes, vocabularies

CANONICAL = {table.name: table for table in shapes.TABLES if table.name != "stages"}
TYPES = ("text", "integer", "decimal", "percent", "money", "date", "timestamp", "boolean")
NUMBERS, TIMES = ("integer", "decimal", "percent", "money"), ("date", "timestamp")
NUMBER_FORMATS = ("1,234.56", "1.234,56")
ENCODINGS = ("utf-8", "latin-1", "cp1252", "utf-16")  # the common ones; any that Python knows will do
DEFAULT_PIPELINE = "default"
OWN_COLUMNS = ("source_system", "extra_attributes")  # filled by the source itself, never by a rule


@dataclass(frozen=True)
class Rule:
    """How one canonical column is read: from columns (one, or several joined), or a constant; None means not given.

    `type` is None where the canonical column's own type decides. Texts in `values`, `equals`, `empty` are compared with
    the cell after `trim`; `default`, like a constant, is already canonical.
    """

    columns: tuple[str, ...] = ()
    join: str = ""
    constant: str | None = None
    type: str | None = None
    formats: tuple[str, ...] = ()
    trim: bool = False
    case: str | None = None
    ignore_case: bool = False
    values: dict[str, str | None] = field(default_factory=dict)
    equals: tuple[str, ...] | None = None
    empty: tuple[str, ...] = ()
    default: str | None = None
    required: bool = False
    minimum: str | None = None
    maximum: str | None = None
    references: str | None = None


@dataclass(frozen=True)
class Unpivot:
    """Wide columns (names or wildcards) turned to rows: their name in column `name`, their value in column `value`."""

    columns: tuple[str, ...]
    name: str
    value: str


@dataclass(frozen=True)
class Part:
    """One way into a canonical table: the files it is read from and a rule for each column it fills."""

    key: str
    files: tuple[str, ...]
    columns: dict[str, Rule]
    delimiter: str | None = None
    encoding: str = "utf-8"
    extra: tuple[str, ...] = ()
    where: dict[str, tuple[str | None, ...]] = field(default_factory=dict)
    unpivot: Unpivot | None = None


@dataclass(frozen=True)
class TableMapping:
    """How a canonical table is filled: by one part or several, versions of one key settled by `latest_by`."""

    table: Table
    parts: tuple[Part, ...]
    latest_by: str | None
    full: bool

    @property
    def references(self) -> set[str]:
        """The tables it refers to, itself left out."""
        named = {rule.references for part in self.parts for rule in part.columns.values()}
        return named - {None, self.table.name}


@dataclass(frozen=True)
class Stage:
    """A row of `raw_files.stages`, its columns after `source_system`."""

    pipeline: str
    stage: str
    stage_order: int
    is_pipeline: bool
    outcome: str
    probability: Decimal | None
    forecast_category: str | None


@dataclass(frozen=True)
class Mapping:
    """A whole mapping. `tables` are ordered so that a table stands after those it refers to; `as_of` is in UTC."""

    path: Path
    folder: Path
    source: str
    timezone: str
    currency: str | None
    as_of: datetime | None
    stages: tuple[Stage, ...]
    tables: dict[str, TableMapping]
    fingerprint: str

    @property
    def pipelines(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(stage.pipeline for stage in self.stages))

    @property
    def stage_labels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(stage.stage for stage in self.stages))

    def words(self, table: str, column: str) -> tuple[str, ...] | None:
        """The only values a column may hold, None for one that is free."""
        if (table, column) == ("opportunities", "stage"):
            return self.stage_labels
        if (table, column) == ("opportunities", "pipeline"):
            return self.pipelines
        return vocabularies.WORDS.get((table, column))

    def error(self, key: str, problem: str) -> UserError:
        return UserError(f"{self.path.name}: {key}: {problem}")


def default_type(table: str, column: str) -> str:
    """The rule type that reads a canonical column where the rule gives none."""
    sql_type = CANONICAL[table].columns[column]
    if sql_type.startswith("DECIMAL"):
        return "money" if column == "amount" or column.endswith("_amount") else "decimal"
    return {"VARCHAR": "text", "BIGINT": "integer"}.get(sql_type, sql_type.lower())


def read_mapping(path: Path) -> Mapping:
    """Read and check a mapping: `path` is the file itself or the folder that holds a `mapping.yml`.

    Raises UserError for the first mistake found.
    """
    file = path / "mapping.yml" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file}: no such mapping{nearest(file.name, _names_in(file.parent))}")
    return _Reader(file).mapping()


def _names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


_NULL, _MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"


class _Text(yaml.SafeLoader):
    """YAML whose scalars stay text (a bare null apart) and whose keys may not repeat."""

    yaml_implicit_resolvers: ClassVar = {
        start: [(tag, pattern) for tag, pattern in resolvers if tag in (_NULL, _MERGE)]
        for start, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str) or key in seen:
                problem = f"key {key!r} stands twice" if isinstance(key, str) else "a key must be text; quote it"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class _Node:
    """A piece of the YAML with the way to it, so that a complaint can name its place."""

    file: str
    key: str
    content: object

    def error(self, problem: str) -> UserError:
        return UserError(f"{self.file}: {self.key + ': ' if self.key else ''}{problem}")

    def child(self, name: str) -> _Node:
        return _Node(self.file, f"{self.key}.{name}" if self.key else name, self.content[name])

    def children(self) -> dict[str, _Node]:
        if not isinstance(self.content, dict):
            raise self.error(f"expected keys with values, found {self._found()}")
        return {name: self.child(name) for name in self.content}

    def keys(self, known: Iterable[str], required: Iterable[str] = ()) -> dict[str, _Node]:
        children, known = self.children(), tuple(known)
        for name in children:
            if name not in known:
                raise children[name].error("unknown key" + (nearest(name, known) or f"; known: {', '.join(known)}"))
        for name in required:
            if name not in children:
                raise self.error(f"{name!r} is missing")
        return children

    def text(self) -> str:
        if not isinstance(self.content, str) or not self.content:
            raise self.error(f"expected a text, found {self._found()}")
        return self.content

    def texts(self) -> tuple[str, ...]:
        return tuple(item.text() for item in self.items())

    def texts_or_null(self) -> tuple[str | None, ...]:
        return tuple(None if item.content is None else item.text() for item in self.items())

    def items(self) -> list[_Node]:
        """A list's items; a single thing counts as a list of one."""
        if not isinstance(self.content, list):
            return [self]
        if not self.content:
            raise self.error("an empty list")
        return [_Node(self.file, f"{self.key}[{number}]", item) for number, item in enumerate(self.content, 1)]

    def flag(self) -> bool:
        if self.content not in ("true", "false"):
            raise self.error(f"expected true or false, found {self._found()}")
        return self.content == "true"

    def one_of(self, known: Iterable[str]) -> str:
        known = tuple(known)
        if (text := self.text()) not in known:
            raise self.error(f"unknown value {text!r}" + (nearest(text, known) or _listing(known)))
        return text

    def number(self) -> Decimal:
        try:
            if (number := Decimal(self.text())).is_finite():
                return number
        except InvalidOperation:
            pass
        raise self.error(f"expected a number, found {self._found()}")

    def _found(self) -> str:
        match self.content:
            case None | "":
                return "nothing"
            case dict():
                return "keys with values"
            case list():
                return "a list"
            case _:
                return repr(self.content)


def _listing(known: tuple[str, ...]) -> str:
    return f"; known: {', '.join(known)}" if len(known) <= 12 else ""


RULE_KEYS = (
    "column", "columns", "join", "constant", "type", "format", "trim", "upper", "lower", "ignore_case", "values",
    "equals", "in", "empty", "default", "required", "minimum", "maximum", "references",
)  # fmt: skip
TABLE_KEYS = ("files", "columns", "latest_by", "extra", "where", "unpivot", "full", "delimiter", "encoding")
ROOT_KEYS = (
    "version", "source", "timezone", "currency", "as_of", "folder", "delimiter", "encoding", "stages", "tables",
)  # fmt: skip
STAGE_KEYS = ("stage", "pipeline", "is_pipeline", "outcome", "probability", "forecast_category")


class _Reader:
    """Reads one mapping file from the top down; what is read first (stages, tables) checks what comes after."""

    def __init__(self, path: Path):
        self.path = path
        self.root = _Node(path.name, "", self._load())
        self.top = self.root.keys(ROOT_KEYS, required=("version", "source", "timezone", "tables"))

    def mapping(self) -> Mapping:
        if self.top["version"].text() != "1":
            raise self.top["version"].error(f"this warehouse reads version 1, found {self.top['version'].content!r}")
        timezone = self._timezone()
        self.currency = self._currency()
        self.stages = self._stages()
        tables = {name: self._table(name, node) for name, node in self._tables().items()}
        if not self.stages and (needy := {"opportunities", "opportunity_history"} & set(tables)):
            raise self.root.error(f"'stages' is missing; {min(needy)} needs the list of stages, in order")
        return Mapping(
            path=self.path,
            folder=self._folder(),
            source=self.top["source"].text(),
            timezone=timezone,
            currency=self.currency,
            as_of=self._as_of(ZoneInfo(timezone)),
            stages=self.stages,
            tables=self._ordered(tables),
            fingerprint=self._fingerprint(),
        )

    def _load(self) -> object:
        try:
            return yaml.load(self.path.read_text("utf-8-sig"), _Text)
        except UnicodeDecodeError:
            raise UserError(f"{self.path.name}: not UTF-8 text") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = (getattr(error, "problem", None) or str(error)).splitlines()[0]
            line = f" line {mark.line + 1}:" if mark else ""
            raise UserError(f"{self.path.name}:{line} not readable as YAML: {problem}") from None

    def _fingerprint(self) -> str:
        """Of everything that decides how a row is read: not of where the files are and when they were exported."""
        reading = {key: content for key, content in self.root.content.items() if key not in ("as_of", "folder")}
        reading["tables"] = {
            name: [{key: value for key, value in part.items() if key != "files"} for part in _as_list(parts)]
            for name, parts in reading["tables"].items()
        }
        return hashlib.sha256(json.dumps(reading, sort_keys=True).encode()).hexdigest()[:16]

    def _timezone(self) -> str:
        name, known = self.top["timezone"].text(), available_timezones()
        if name not in known:
            raise self.top["timezone"].error(f"unknown time zone {name!r}{nearest(name, known)}")
        return name

    def _currency(self) -> str | None:
        if "currency" not in self.top:
            return None
        return self.top["currency"].one_of(sorted(vocabularies.CURRENCIES))

    def _as_of(self, zone: ZoneInfo) -> datetime | None:
        """A date means its last instant in the mapping's time zone."""
        if "as_of" not in self.top:
            return None
        text = self.top["as_of"].text()
        try:
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
                instant = datetime.combine(date.fromisoformat(text), time.max, zone)
            else:
                instant = datetime.fromisoformat(text)
                instant = instant if instant.tzinfo else instant.replace(tzinfo=zone)
            return instant.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            raise self.top["as_of"].error(f"expected a date or an ISO instant, found {text!r}") from None

    def _folder(self) -> Path:
        """Where the files are: the mapping's own folder unless it names one. A variable's value is never shown."""
        if "folder" not in self.top:
            return self.path.parent
        node = self.top["folder"]
        written = node.text()
        for variable in re.findall(r"\$\{(\w+)\}", written):
            if not os.environ.get(variable):
                raise node.error(f"the environment variable {variable} is not set")
        folder = self.path.parent / Path(re.sub(r"\$\{(\w+)\}", lambda m: os.environ[m[1]], written)).expanduser()
        if not folder.is_dir():
            raise node.error(f"no folder {written!r}{nearest(folder.name, _names_in(folder.parent))}")
        return folder

    def _stages(self) -> tuple[Stage, ...]:
        if "stages" not in self.top:
            return ()
        stages: dict[tuple[str, str], Stage] = {}
        for order, node in enumerate(self.top["stages"].items(), 1):
            keys = node.keys(STAGE_KEYS, required=("stage",))
            outcome = keys["outcome"].one_of(vocabularies.OUTCOMES) if "outcome" in keys else "open"
            probability = keys["probability"].number() if "probability" in keys else None
            if probability is not None and not 0 <= probability <= 1:
                raise keys["probability"].error(f"expected a share from 0 to 1, found {probability}")
            stage = Stage(
                pipeline=keys["pipeline"].text() if "pipeline" in keys else DEFAULT_PIPELINE,
                stage=keys["stage"].text(),
                stage_order=order,
                is_pipeline=keys["is_pipeline"].flag() if "is_pipeline" in keys else outcome == "open",
                outcome=outcome,
                probability=probability,
                forecast_category=keys["forecast_category"].one_of(vocabularies.FORECAST_CATEGORIES)
                if "forecast_category" in keys
                else None,
            )
            if stage.is_pipeline and outcome != "open":
                raise node.error(f"stage {stage.stage!r} is {outcome} and cannot be pipeline")
            if (stage.pipeline, stage.stage) in stages:
                raise node.error(f"stage {stage.stage!r} stands twice")
            stages[stage.pipeline, stage.stage] = stage
        return tuple(stages.values())

    def _tables(self) -> dict[str, _Node]:
        tables = self.top["tables"].keys(CANONICAL)
        if not tables:
            raise self.top["tables"].error("no table is mapped")
        return tables

    def _table(self, name: str, node: _Node) -> TableMapping:
        parts, keys = [], {}
        for part_node in node.items():
            part_keys = part_node.keys(TABLE_KEYS, required=("files", "columns"))
            parts.append(self._part(name, part_node, part_keys))
            keys |= part_keys
        latest_by = keys["latest_by"].text() if "latest_by" in keys else None
        if latest_by:
            for part in parts:
                if latest_by not in part.columns:
                    raise keys["latest_by"].error(
                        f"{latest_by!r} is not among the mapped columns of {part.key}{nearest(latest_by, part.columns)}"
                    )
        full = keys["full"].flag() if "full" in keys else False
        return TableMapping(CANONICAL[name], tuple(parts), latest_by, full)

    def _part(self, table: str, node: _Node, keys: dict[str, _Node]) -> Part:
        unpivot = self._unpivot(keys["unpivot"]) if "unpivot" in keys else None
        delimiter = keys.get("delimiter") or self.top.get("delimiter")
        encoding = keys.get("encoding") or self.top.get("encoding")
        return Part(
            key=node.key,
            files=keys["files"].texts(),
            columns=self._columns(table, keys["columns"]),
            delimiter=self._delimiter(delimiter) if delimiter else None,
            encoding=self._encoding(encoding) if encoding else "utf-8",
            extra=keys["extra"].texts() if "extra" in keys else (),
            where=self._where(keys["where"]) if "where" in keys else {},
            unpivot=unpivot,
        )

    def _where(self, node: _Node) -> dict[str, tuple[str | None, ...]]:
        return {name: child.texts_or_null() for name, child in node.children().items()}

    def _delimiter(self, node: _Node) -> str:
        if len(text := node.text()) != 1 or text in '"\r\n':
            raise node.error(f"expected one character, found {text!r}")
        return text

    def _encoding(self, node: _Node) -> str:
        try:
            "".encode(node.text())
        except LookupError:
            hint = nearest(node.content, ENCODINGS) or _listing(ENCODINGS)
            raise node.error(f"unknown encoding {node.content!r}{hint}") from None
        return node.text()

    def _unpivot(self, node: _Node) -> Unpivot:
        keys = node.keys(("columns", "name", "value"), required=("columns", "name", "value"))
        if keys["name"].text() == keys["value"].text():
            raise keys["value"].error("must differ from 'name'")
        return Unpivot(keys["columns"].texts(), keys["name"].text(), keys["value"].text())

    def _columns(self, table: str, node: _Node) -> dict[str, Rule]:
        canonical = [column for column in CANONICAL[table].columns if column not in OWN_COLUMNS]
        aliases = {alias: column for (owner, alias), column in vocabularies.ALIASES.items() if owner == table}
        rules: dict[str, Rule] = {}
        for name, child in node.keys((*canonical, *aliases)).items():
            column = aliases.get(name, name)
            if column in rules:
                raise child.error(f"{column!r} is mapped twice")
            rules[column] = self._rule(table, column, child)
        for column in shapes.REQUIRED[table]:
            if column not in rules:
                raise node.error(f"the required column {column!r} is not mapped")
        either = vocabularies.EITHER.get(table)
        if either and not set(either) & set(rules):
            raise node.error(f"map {either[0]!r} or {either[1]!r}")
        return {column: rules[column] for column in canonical if column in rules} | self._fillers(table, rules)

    def _fillers(self, table: str, rules: dict[str, Rule]) -> dict[str, Rule]:
        """Rules for what a row without a value of its own means, where the mapping or the design says so."""
        meant = {column: value for (owner, column), value in vocabularies.DEFAULTS.items() if owner == table}
        if self.currency and "currency_code" in CANONICAL[table].columns:
            meant["currency_code"] = self.currency
        pipelines = {stage.pipeline for stage in self.stages}
        if table == "opportunities" and len(pipelines) == 1:
            meant["pipeline"] = min(pipelines)
        if table == "opportunities" and len(pipelines) > 1 and "pipeline" not in rules:
            raise self.top["tables"].error("the stage list has several pipelines, so opportunities must map 'pipeline'")
        fillers = {}
        for column, value in meant.items():
            rule = rules.get(column, Rule(constant=value))
            if rule.constant is None and rule.default is None and not rule.required:
                rule = Rule(**{**vars(rule), "default": value})
            fillers[column] = rule
        return fillers

    def _rule(self, table: str, column: str, node: _Node) -> Rule:
        if isinstance(node.content, str):
            return Rule(columns=(node.text(),))
        keys = node.keys(RULE_KEYS)
        given = [name for name in ("column", "columns", "constant") if name in keys]
        if len(given) != 1:
            raise node.error(f"give one of column, columns or constant, found {' and '.join(given) or 'none'}")
        for one, other in (("upper", "lower"), ("equals", "in"), ("equals", "default"), ("in", "default")):
            if one in keys and other in keys:
                raise keys[other].error(f"cannot stand with {one!r}")
        if "constant" in keys and len(keys) > 1 and set(keys) - {"constant", "type", "format"}:
            raise node.error(f"a constant takes no {min(set(keys) - {'constant', 'type', 'format'})!r}")
        if given[0] == "column" and isinstance(keys["column"].content, list):
            raise keys["column"].error("is one column; several stand under 'columns', with 'join'")
        if ("columns" in keys) != ("join" in keys):
            raise node.error("'columns' and 'join' go together")
        equals = keys.get("equals") or keys.get("in")
        rule = Rule(
            columns=keys[given[0]].texts() if given[0] != "constant" else (),
            join=self._any_text(keys["join"]) if "join" in keys else "",
            constant=keys["constant"].text() if "constant" in keys else None,
            type=keys["type"].one_of(TYPES) if "type" in keys else None,
            formats=keys["format"].texts() if "format" in keys else (),
            case=next((name for name in ("upper", "lower") if name in keys and keys[name].flag()), None),
            values=self._values(keys["values"]) if "values" in keys else {},
            equals=equals.texts() if equals else None,
            empty=keys["empty"].texts() if "empty" in keys else (),
            default=keys["default"].text() if "default" in keys else None,
            references=self._reference(keys["references"]) if "references" in keys else None,
            **{name: keys[name].flag() for name in ("trim", "ignore_case", "required") if name in keys},
            **{name: keys[name].text() for name in ("minimum", "maximum") if name in keys},
        )
        self._check_rule(table, column, rule, node, keys)
        return rule

    def _check_rule(self, table: str, column: str, rule: Rule, node: _Node, keys: dict[str, _Node]) -> None:
        own = default_type(table, column)
        kind = rule.type or own
        fits = TYPES if own == "text" else next((group for group in (NUMBERS, TIMES) if own in group), (own,))
        if kind not in fits:
            raise keys["type"].error(f"{column} is {own}; it cannot be read as {kind}")
        if rule.equals is not None and own != "boolean":
            name = "equals" if "equals" in keys else "in"
            raise keys[name].error(f"makes true or false, but {column} is {own}")
        if rule.formats:
            self._check_formats(kind, keys["format"])
        for bound in ("minimum", "maximum"):
            if bound in keys:
                self._check_bound(kind, keys[bound])
        if rule.ignore_case:
            folded: dict[str, str] = {}
            for key in rule.values:
                if (other := folded.setdefault(key.lower(), key)) != key:
                    raise keys["values"].error(f"{other!r} and {key!r} are alike where case is ignored")
        words = self._words(table, column)
        for name, word in (*((f"values.{key}", word) for key, word in rule.values.items()), *self._given_words(rule)):
            if words and rule.equals is None and word is not None and word not in words:
                hint = nearest(word, words) or _listing(words)
                raise UserError(f"{node.file}: {node.key}.{name}: unknown value {word!r}{hint}")

    def _words(self, table: str, column: str) -> tuple[str, ...] | None:
        if table == "opportunities" and column in ("stage", "pipeline"):
            return tuple(dict.fromkeys(getattr(stage, column) for stage in self.stages))
        return vocabularies.WORDS.get((table, column))

    def _given_words(self, rule: Rule) -> list[tuple[str, str]]:
        return [(name, word) for name in ("constant", "default") if (word := getattr(rule, name)) is not None]

    def _reference(self, node: _Node) -> str:
        tables = self._tables()
        if (table := node.text()) not in tables:
            raise node.error(f"refers to {table!r}, which this mapping does not fill{nearest(table, tables)}")
        if len(CANONICAL[table].key) != 2:
            raise node.error(f"a row of {table} has no id of its own to refer to")
        return table

    def _check_formats(self, kind: str, node: _Node) -> None:
        if kind in NUMBERS:
            for item in node.items():
                item.one_of(NUMBER_FORMATS)
        elif kind in TIMES:
            for item in node.items():
                if "%" not in item.text():
                    raise item.error(f"expected a pattern such as '%d/%m/%Y', found {item.content!r}")
        elif kind != "text":
            raise node.error(f"a {kind} takes no format")

    def _check_bound(self, kind: str, node: _Node) -> None:
        if kind in NUMBERS:
            node.number()
        elif kind in TIMES:
            try:
                datetime.fromisoformat(node.text())
            except ValueError:
                raise node.error(f"expected an ISO date, found {node.content!r}") from None
        else:
            raise node.error(f"a {kind} has no {node.key.rsplit('.', 1)[-1]}")

    def _any_text(self, node: _Node) -> str:
        return node.content if node.content == "" else node.text()

    def _values(self, node: _Node) -> dict[str, str | None]:
        return {name: None if child.content is None else child.text() for name, child in node.children().items()}

    def _ordered(self, tables: dict[str, TableMapping]) -> dict[str, TableMapping]:
        """Tables after those they refer to."""
        ordered: dict[str, TableMapping] = {}
        while len(ordered) < len(tables):
            ready = [name for name, table in tables.items() if name not in ordered and table.references <= set(ordered)]
            if not ready:
                circle = [name for name in tables if name not in ordered]
                raise self.top["tables"].error(f"circular references among {', '.join(circle)}")
            ordered |= {name: tables[name] for name in ready}
        return ordered


def _as_list(content: object) -> list:
    return content if isinstance(content, list) else [content]


def matching(patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """The names that names and wildcards mean, in the names' order; a pattern that means none stands for itself."""
    names = list(names)
    wanted: dict[str, None] = {}
    for pattern in patterns:
        found = [pattern] if pattern in names else [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        wanted |= dict.fromkeys(found or [pattern])
    return sorted(wanted, key=lambda name: names.index(name) if name in names else -1)
