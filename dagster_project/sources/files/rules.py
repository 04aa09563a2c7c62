"""One column rule as SQL: the cell's text cleaned, its value in the canonical type, and what can be wrong with it.

A user's text enters SQL as a literal and nothing else. Two steps, so that each is written once: `text` is an expression
over the export's cells; `value` and the faults are expressions over the texts, `t_<column>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dagster_project.sources.files import shapes, vocabularies
from dagster_project.sources.files.mapping import CANONICAL, NUMBERS, TIMES, Mapping, Part, Rule, default_type


@dataclass(frozen=True)
class Fault:
    """What can be wrong with a row: `condition` is SQL over its texts `t_*` and values `v_*`.

    cells: SQL of the offending cells as exported, to be shown. words: the values that would have been right, where one
    wrong value refuses the whole mapping rather than its row.
    """

    condition: str
    column: str
    export_column: str
    cells: str
    reason: str
    words: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Reading:
    """How a canonical column is read in one part."""

    column: str
    rule: Rule
    text: str
    value: str
    faults: tuple[Fault, ...]


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def literals(texts) -> str:
    return ", ".join(literal(text) for text in texts)


def readings(mapping: Mapping, table: str, part: Part, places: dict[str, str]) -> list[Reading]:
    """How each mapped column of a part is read; `places` says which SQL column holds an export's column."""
    told = part.columns["field"].constant if table == "opportunity_history" else None
    fields = (told,) if told else vocabularies.HISTORY_FIELDS
    return [_Compiler(mapping, table, column, rule, places, fields).reading() for column, rule in part.columns.items()]


class _Compiler:
    def __init__(
        self, mapping: Mapping, table: str, column: str, rule: Rule, places: dict[str, str], fields: tuple[str, ...]
    ):
        self.mapping, self.table, self.column, self.rule = mapping, table, column, rule
        self.fields = fields  # what a history tells of
        self.cells = [f"nullif({places[name]}, '')" for name in rule.columns]
        self.target = CANONICAL[table].columns[column]
        self.kind = rule.type or default_type(table, column)
        self.tells_history = table == "opportunity_history" and column in ("old_value", "new_value") and not rule.type

    def reading(self) -> Reading:
        return Reading(self.column, self.rule, self._text(), self._value(), tuple(self._faults()))

    def _text(self) -> str:
        rule = self.rule
        if rule.constant is not None:
            return literal(rule.constant)
        text = self._joined()
        if rule.trim or self.kind != "text":
            text = rf"nullif(trim(regexp_replace({text}, '[\s\x{{a0}}\x{{202f}}]+', ' ', 'g')), '')"
        if rule.empty:
            text = f"case when {self._folded(text)} not in ({literals(map(self._fold, rule.empty))}) then {text} end"
        if rule.values:
            text = _translated(text, self._folded(text), {self._fold(key): to for key, to in rule.values.items()}, text)
        if rule.case:
            text = f"{rule.case}({text})"
        return f"coalesce({text}, {literal(rule.default)})" if rule.default is not None else text

    def _joined(self) -> str:
        if len(self.cells) < 2:
            return "".join(self.cells) or "null"
        return f"nullif(concat_ws({literal(self.rule.join)}, {', '.join(self.cells)}), '')"

    def _fold(self, text: str) -> str:
        return text.lower() if self.rule.ignore_case else text

    def _folded(self, sql: str) -> str:
        return f"lower({sql})" if self.rule.ignore_case else sql

    def _value(self) -> str:
        text = f"t_{self.column}"
        if self.rule.equals is not None:
            return f"{self._folded(text)} in ({literals(map(self._fold, self.rule.equals))})"
        if self.tells_history:
            return self._historic_value(text)
        if words := self.mapping.words(self.table, self.column):
            return self._word(text, words)
        return self._typed(text, self.kind, self.target)

    def _word(self, text: str, words: tuple[str, ...]) -> str:
        return _translated(text, self._folded(text), {self._fold(word): word for word in words}, "null")

    def _historic_value(self, text: str) -> str:
        """A value in a history is read as the field it belongs to, and kept as text."""
        cases = []
        for field in self.fields:
            if words := self.mapping.words("opportunities", field):
                value = self._word(text, words)
            elif (kind := default_type("opportunities", field)) != "text":
                target = CANONICAL["opportunities"].columns[field]
                value = f"cast({self._typed(f'trim({text})', kind, target)} as varchar)"
            else:
                continue
            cases.append(f"when {literal(field)} then {value}")
        return f"case t_field {' '.join(cases)} else {text} end" if cases else text

    def _typed(self, text: str, kind: str, target: str) -> str:
        if kind in NUMBERS:
            own = {"money": shapes.MONEY, "integer": shapes.COUNT}.get(kind, shapes.RATE)
            value = _number(text, kind, self.rule.formats, own if target == shapes.TEXT else target)
        elif kind in TIMES:
            value = self._time(text, kind, target, self.rule.formats)
        elif kind == "boolean":
            value = _translated(text, f"lower({text})", _BOOLEANS, "null")
            value = f"cast({value} as boolean)"
        else:
            return text
        return f"cast({value} as varchar)" if target == shapes.TEXT else value

    def _time(self, text: str, kind: str, target: str, formats: tuple[str, ...]) -> str:
        zone = literal(self.mapping.timezone)
        wants_date = target == shapes.DATE or (target == shapes.TEXT and kind == "date")
        tries = []
        for moment, is_zoned in _moments(text, formats):
            if wants_date or kind == "date":
                moment = f"cast({moment + f' at time zone {zone}' if is_zoned else moment} as date)"
                if not wants_date:
                    moment = f"cast({moment} as timestamp) at time zone {zone} at time zone 'UTC'"
            else:
                moment = f"{moment}{'' if is_zoned else f' at time zone {zone}'} at time zone 'UTC'"
            tries.append(moment)
        return f"coalesce({', '.join(tries)})"

    def _faults(self) -> Iterator[Fault]:
        text, value = f"t_{self.column}", f"v_{self.column}"
        words = self.mapping.words(self.table, self.column)
        unread = f"{text} is not null and {value} is null"
        if words and self.rule.equals is None:
            yield self._fault(unread, "unknown value", words)
        elif self.tells_history:
            for field in self.fields:
                if words := self.mapping.words("opportunities", field):
                    yield self._fault(f"{unread} and t_field = {literal(field)}", f"unknown {field}", words)
            yield self._fault(unread, "not a value of the field it stands for")
        elif self.kind in NUMBERS and not self.rule.formats:
            yield self._fault(
                f"{value} is null and regexp_full_match({text}, {literal(_ambiguous(self.kind))})",
                f"reads two ways as {_called(self.kind)}; give `format`, '1,234.56' or '1.234,56'",
            )
        if self.kind != "text":
            yield self._fault(unread, self._misread())
        may_be_empty = (self.table, self.column) in vocabularies.MAY_BE_EMPTY
        if self.rule.required or (self.column in shapes.REQUIRED[self.table] and not may_be_empty):
            yield self._fault(f"{text} is null", "empty, but required")
        yield from self._out_of_bounds(value)
        if self.column in vocabularies.CURRENCY_COLUMNS:
            known = literals(sorted(vocabularies.CURRENCIES))
            yield self._fault(f"{value} not in ({known})", "not an ISO currency code (`upper: true` reads usd as USD)")

    def _out_of_bounds(self, value: str) -> Iterator[Fault]:
        lowest, highest = vocabularies.BOUNDS.get((self.table, self.column), (None, None))
        hint = "; `type: percent` reads 90 as 0.9" if highest else ""
        if self.kind in NUMBERS and self.target == shapes.TEXT:
            value = f"cast({value} as {shapes.RATE})"
        bounds = ((self.rule.minimum or lowest, "<", "below"), (self.rule.maximum or highest, ">", "above"))
        for bound, sign, word in bounds:
            if bound is not None:
                is_time = self.kind in TIMES
                limit = self._time_literal(bound) if is_time else f"cast({literal(bound)} as {shapes.RATE})"
                yield self._fault(f"{value} {sign} {limit}", f"{word} {bound}{hint if word == 'above' else ''}")

    def _time_literal(self, bound: str) -> str:
        return self._time(literal(bound), self.kind, self.target, formats=())

    def _fault(self, condition: str, reason: str, words: tuple[str, ...] | None = None) -> Fault:
        return Fault(condition, self.column, ", ".join(self.rule.columns), self._joined(), reason, words)

    def _misread(self) -> str:
        if self.rule.formats:
            return f"not {_called(self.kind)} in the format {' or '.join(self.rule.formats)}"
        hint = {"date": " as 2025-06-30; give `format`", "timestamp": " as 2025-06-30T17:00:00; give `format`"}
        return f"not {_called(self.kind)}{hint.get(self.kind, '')}"


def _called(kind: str) -> str:
    return {
        "integer": "a whole number", "decimal": "a number", "percent": "a percentage", "money": "an amount of money",
        "date": "a date", "timestamp": "a point in time", "boolean": "yes or no",
    }[kind]  # fmt: skip


def _translated(text: str, subject: str, table: dict[str, str | None], otherwise: str) -> str:
    cases = " ".join(f"when {literal(key)} then {'null' if to is None else literal(to)}" for key, to in table.items())
    return f"case {subject} {cases} else {otherwise} end"


_BOOLEANS = {word: "true" for word in ("true", "t", "yes", "y", "1", "on")} | {
    word: "false" for word in ("false", "f", "no", "n", "0", "off")
}

# A number among its sign and currency. Currencies are ISO codes and signs; what is left between the ends is the body
_CURRENCY_SIGNS = "$€£¥₹₽₩₪₺₴₫₱₦₲₵₡₸₼₾฿﷼¢₿"
_CURRENCY = rf"(?:{'|'.join(sorted(vocabularies.CURRENCIES))}|[A-Z]{{0,2}}[{_CURRENCY_SIGNS}]|kr|zł|Kč|Fr|Rs)? ?"
_BODY = r"(?:[0-9][0-9.,'\x{2019} ]*(?:[eE][+-]?[0-9]+)?|[.,][0-9]+) ?"
_POSITIVE = rf"\+?{_CURRENCY}{_BODY}{_CURRENCY}|{_CURRENCY}\+{_BODY}"
_NEGATIVE = (
    rf"\({_CURRENCY}{_BODY}{_CURRENCY}\)|{_CURRENCY}\({_BODY}\)|[-\x{{2212}}] ?{_CURRENCY}{_BODY}{_CURRENCY}"
    rf"|{_CURRENCY}[-\x{{2212}}] ?{_BODY}|{_BODY}{_CURRENCY}-"
)
_PLAIN = r"([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?"
_COMMA_GROUPS = r"([1-9][0-9]{0,2}(,[0-9]{3})+|[1-9][0-9]?(,[0-9]{2})+,[0-9]{3})([.][0-9]*)?"
_DOT_GROUPS = r"[1-9][0-9]{0,2}([.][0-9]{3})+(,[0-9]*)?"
_SPACE_GROUPS = r"[1-9][0-9]{0,2}([ '\x{2019}][0-9]{3})+([.,][0-9]*)?"
_DECIMAL_COMMA = r"[0-9]*,[0-9]+"


def _ambiguous(kind: str) -> str:
    """The pattern of a number that reads two ways: 1.234 as money, 1,234 as a rate (its mark is the dot)."""
    group = r"[1-9][0-9]{0,2}%s[0-9]{3}" % ("," if kind in ("decimal", "percent") else "[.]")
    return rf"[^0-9]*{group}[^0-9]*"


# Most numbers are written plainly, and reading those without taking them apart is ten times faster
_USUAL = {"money": "-?[0-9]+([.][0-9]{1,2})?", "decimal": "-?[0-9]+([.][0-9]+)?", "integer": "-?[0-9]+"}


def _number(text: str, kind: str, formats: tuple[str, ...], target: str) -> str:
    """SQL of a number in the target type, null where it cannot be read or reads two ways."""
    if kind in ("decimal", "percent"):
        number = _taken_apart(f"rtrim({text}, '% ')", kind, formats)
        number = f"try_cast({number} as {shapes.RATE})"
        number += " * 0.01" if kind == "percent" else f" * case when ends_with({text}, '%') then 0.01 else 1.00 end"
    else:
        number = _taken_apart(text, kind, formats)
    if target == shapes.COUNT:  # a cast would round
        number = f"regexp_extract(cast(try_cast({number} as {shapes.RATE}) as varchar), '^(-?[0-9]+)[.]0+$', 1)"
    if kind not in _USUAL or "1.234,56" in formats:
        return f"try_cast({number} as {target})"
    return (
        f"case when regexp_full_match({text}, {literal(_USUAL[kind])}) then try_cast({text} as {target})"
        f" else try_cast({number} as {target}) end"
    )


def _taken_apart(text: str, kind: str, formats: tuple[str, ...]) -> str:
    """SQL of a number's text, with a dot for its decimal mark and nothing else but a sign and an exponent."""
    body = f"regexp_extract({text}, '[0-9.,].*[0-9.,]|[0-9]')"
    readers = [_digits(body, kind, way) for way in formats or (None,)]
    sign = (
        f"case when regexp_full_match({text}, {literal(_POSITIVE)}) then ''"
        f" when regexp_full_match({text}, {literal(_NEGATIVE)}) then '-' end"
    )
    return f"({sign} || coalesce({', '.join(readers)}))"


def _digits(body: str, kind: str, way: str | None) -> str:
    """SQL of a number's text with a dot for its decimal mark and no groups."""

    def when(pattern: str, then: str) -> str:
        return f"when regexp_full_match({body}, {literal(pattern)}) then {then}"

    ungrouped = f"replace({body}, ',', '')"
    turned = f"replace(replace({body}, '.', ''), ',', '.')"
    spaced = rf"replace(regexp_replace({body}, '[ ''\x{{2019}}]', '', 'g'), ',', '.')"
    match way:
        case "1,234.56":
            cases = [when(_PLAIN, body), when(_COMMA_GROUPS, ungrouped)]
        case "1.234,56":
            cases = [when(r"[0-9]+|[0-9]*,[0-9]+", turned), when(_DOT_GROUPS, turned)]
        case None:
            cases = [
                when(_ambiguous(kind), "null"),
                when(_PLAIN, body),
                when(_COMMA_GROUPS, ungrouped),
                when(_DOT_GROUPS, turned),
                when(_DECIMAL_COMMA, turned),
            ]
    return f"case {' '.join(cases)} {when(_SPACE_GROUPS, spaced)} end"


_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = "[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
_ZONE = " ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)"


def _moments(text: str, formats: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """SQL of each way to read a time, and whether it yields one with a zone. Without a format: ISO 8601 only."""
    for pattern in formats:
        yield f"try_strptime({text}, {literal(pattern)})", bool(re.search("%[zZ]", pattern))
    if not formats:
        written = f"case when regexp_full_match({text}, {literal(f'{_DATE}({_CLOCK})?')}) then {text} end"
        yield f"try_cast({written} as timestamp)", False
        # DuckDB reads a zone only after seconds and without a space
        full = rf"regexp_replace(regexp_replace({text}, '([T ]..:..)( ?[ZU+-])', '\1:00\2'), ' ([+-])', '\1')"
        zoned = f"case when regexp_full_match({text}, {literal(f'{_DATE}{_CLOCK}{_ZONE}')}) then {full} end"
        yield f"try_cast({zoned} as timestamptz)", True
