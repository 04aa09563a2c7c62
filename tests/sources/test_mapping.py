"""Mappings: what is understood, what is refused and in which words, and that the documentation's examples hold."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from dagster_project.settings import PROJECT_ROOT, UserError
from dagster_project.sources.files import shapes
from dagster_project.sources.files.mapping import (
    CANONICAL,
    ENCODINGS,
    ROOT_KEYS,
    RULE_KEYS,
    STAGE_KEYS,
    TABLE_KEYS,
    TYPES,
    default_type,
    read_mapping,
)
from dagster_project.sources.files.vocabularies import EITHER, WORDS
from tests.sources.exports import HEAD, load, write

PAGE = PROJECT_ROOT / "docs" / "map-a-crm.md"

WHOLE = (
    HEAD
    + """\
tables:
  accounts:
    files: accounts.csv
    columns:
      account_id: account
      name: name
  opportunities:
    files: deals.csv
    columns:
      opportunity_id: id
      stage: {column: stage, trim: true}
      amount: value
      account_id: {column: account, references: accounts}
      last_modified_at: modified
    latest_by: last_modified_at
  users:
    files: users.csv
    columns:
      user_id: id
      role: {column: role, lower: true}
"""
)
FILES = {
    "accounts.csv": "account,name\nA,Acme\n",
    "deals.csv": "id,stage,value,account,modified\n1,Won,5,A,2025-01-01\n2,Lost,5,A,2025-01-01\n",
    "users.csv": "id,role\n1,Rep\n2,SE\n",
}


def test_the_mapping_that_the_mistakes_are_made_in_is_right(tmp_path):
    export = load(write(tmp_path, WHOLE, FILES))
    assert export.rejected == []


IN = "tables.opportunities"
AT = f"{IN}.columns"
QUOTAS = """\
  quotas:
    files: users.csv
    columns: {period_start: id, period_end: id, amount: id}
  contacts:
    files: users.csv
    columns:
      contact_id: id
"""


@pytest.mark.parametrize(
    ("written", "instead", "line"),
    [
        # the head
        ("source: acme", "sauce: acme", "sauce: unknown key (did you mean 'source'?)"),
        ("source: acme\n", "", "'source' is missing"),
        ("version: 1", "version: 2", "version: this warehouse reads version 1, found '2'"),
        (
            "America/New_York",
            "America/New_Yrok",
            "timezone: unknown time zone 'America/New_Yrok' (did you mean 'America/New_York'?)",
        ),
        ("currency: USD", "currency: USDD", "currency: unknown value 'USDD' (did you mean 'USD'?)"),
        ("as_of: 2025-06-30", "as_of: June", "as_of: expected a date or an ISO instant, found 'June'"),
        ("as_of: 2025-06-30", "as_of: 2025-06-31", "as_of: expected a date or an ISO instant, found '2025-06-31'"),
        ("as_of: 2025-06-30", "folder: elsewhere", "folder: no folder 'elsewhere'"),
        (
            "as_of: 2025-06-30",
            "folder: ${NOT_SET_ANYWHERE}/x",
            "folder: the environment variable NOT_SET_ANYWHERE is not set",
        ),
        ("as_of: 2025-06-30", "delimiter: ';;'", "delimiter: expected one character, found ';;'"),
        ("as_of: 2025-06-30", "encoding: latin1x", "encoding: unknown encoding 'latin1x' (did you mean 'latin-1'?)"),
        # YAML itself
        ("source: acme", "source: [acme", "line 3: not readable as YAML: expected ',' or ']', but got ':'"),
        ("source: acme", "source: acme\nsource: b", "line 3: not readable as YAML: key 'source' stands twice"),
        ("source: acme", "source: acme\n? [a]\n: b", "line 3: not readable as YAML: a key must be text; quote it"),
        (
            "source: acme",
            "source: !!python/name:os.system",
            "line 2: not readable as YAML: could not determine a constructor",
        ),
        ("source: acme", "source: {a: b}", "source: expected a text, found keys with values"),
        ("source: acme", "source: null", "source: expected a text, found nothing"),
        ("source: acme", "source: [a, b]", "source: expected a text, found a list"),
        # stages
        (
            "{stage: Engaging}",
            "{stage: Engaging, outcom: won}",
            "stages[2].outcom: unknown key (did you mean 'outcome'?)",
        ),
        ("{stage: Engaging}", "{outcome: won}", "stages[2]: 'stage' is missing"),
        ("{stage: Engaging}", "Engaging", "stages[2]: expected keys with values, found 'Engaging'"),
        ("{stage: Engaging}", "{stage: Won}", "stages[3]: stage 'Won' stands twice"),
        ("outcome: won", "outcome: wonn", "stages[3].outcome: unknown value 'wonn' (did you mean 'won'?)"),
        ("outcome: won", "outcome: won, is_pipeline: true", "stages[3]: stage 'Won' is won and cannot be pipeline"),
        ("is_pipeline: false", "is_pipeline: no", "stages[1].is_pipeline: expected true or false, found 'no'"),
        ("is_pipeline: false", "probability: 90", "stages[1].probability: expected a share from 0 to 1, found 90"),
        ("is_pipeline: false", "probability: low", "stages[1].probability: expected a number, found 'low'"),
        (
            "is_pipeline: false",
            "forecast_category: commitment",
            "stages[1].forecast_category: unknown value 'commitment' (did you mean 'commit'?)",
        ),
        (
            "{stage: Engaging}",
            "{stage: Engaging, pipeline: b}",
            "tables: the stage list has several pipelines, so opportunities must map 'pipeline'",
        ),
        (HEAD[HEAD.index("stages:") :], "", "'stages' is missing; opportunities needs the list of stages, in order"),
        # tables
        ("  opportunities:", "  oportunities:", "tables.oportunities: unknown key (did you mean 'opportunities'?)"),
        ("    files: deals.csv\n", "", f"{IN}: 'files' is missing"),
        ("latest_by: last", "newest_by: last", f"{IN}.newest_by: unknown key (did you mean 'latest_by'?)"),
        (
            "latest_by: last_modified_at",
            "latest_by: modified",
            f"{IN}.latest_by: 'modified' is not among the mapped columns of {IN}",
        ),
        ("latest_by: last_modified_at", "full: perhaps", f"{IN}.full: expected true or false, found 'perhaps'"),
        ("latest_by: last_modified_at", "extra: []", f"{IN}.extra: an empty list"),
        ("latest_by: last_modified_at", "where: stage", f"{IN}.where: expected keys with values, found 'stage'"),
        ("latest_by: last_modified_at", "unpivot: {columns: value, name: a}", f"{IN}.unpivot: 'value' is missing"),
        (
            "latest_by: last_modified_at",
            "unpivot: {columns: value, name: a, value: a}",
            f"{IN}.unpivot.value: must differ from 'name'",
        ),
        ("deals.csv", "deal.csv", f"{IN}.files: no file 'deal.csv' (did you mean 'deals.csv'?)"),
        ("deals.csv", "'*.xlsx'", f"{IN}.files: no file '*.xlsx'"),
        (
            "deals.csv",
            "mapping.yml",
            f"{IN}.files: mapping.yml is none of .csv, .tsv, .txt, .parquet, .json, .jsonl, .ndjson",
        ),
        # columns
        ("amount: value", "amout: value", f"{AT}.amout: unknown key (did you mean 'amount'?)"),
        ("      opportunity_id: id\n", "", f"{AT}: the required column 'opportunity_id' is not mapped"),
        ("amount: value", "amount: valu", f"{AT}.amount: no column 'valu' in deals.csv (did you mean 'value'?)"),
        (
            "latest_by: last_modified_at",
            "extra: [valu]",
            f"{IN}.extra.valu: no column 'valu' in deals.csv (did you mean 'value'?)",
        ),
        (
            "latest_by: last_modified_at",
            "where: {stge: Won}",
            f"{IN}.where.stge: no column 'stge' in deals.csv (did you mean 'stage'?)",
        ),
        (
            "latest_by: last_modified_at",
            "unpivot: {columns: valu, name: a, value: b}",
            f"{IN}.unpivot.columns: no column 'valu' in deals.csv (did you mean 'value'?)",
        ),
        ("      user_id: id\n", "      user_id: id\n" + QUOTAS, "tables.quotas.columns: map 'user_id' or 'team'"),
        # rules
        (
            "amount: value",
            "amount: {column: value, typ: money}",
            f"{AT}.amount.typ: unknown key (did you mean 'type'?)",
        ),
        (
            "amount: value",
            "amount: {column: value, type: mony}",
            f"{AT}.amount.type: unknown value 'mony' (did you mean 'money'?)",
        ),
        (
            "amount: value",
            "amount: {column: value, type: date}",
            f"{AT}.amount.type: amount is money; it cannot be read as date",
        ),
        ("amount: value", "amount: {type: money}", f"{AT}.amount: give one of column, columns or constant, found none"),
        (
            "amount: value",
            "amount: {column: value, constant: 5}",
            f"{AT}.amount: give one of column, columns or constant, found column and constant",
        ),
        (
            "amount: value",
            "amount: {column: [value, id]}",
            f"{AT}.amount.column: is one column; several stand under 'columns', with 'join'",
        ),
        ("amount: value", "amount: {columns: [value, id]}", f"{AT}.amount: 'columns' and 'join' go together"),
        ("amount: value", "amount: {column: value, join: x}", f"{AT}.amount: 'columns' and 'join' go together"),
        ("amount: value", "amount: {constant: 5, trim: true}", f"{AT}.amount: a constant takes no 'trim'"),
        ("amount: value", "amount: {constant: much}", f"{AT}.amount.constant: 'much': not an amount of money"),
        (
            "amount: value",
            "amount: {constant: 1.234}",
            f"{AT}.amount.constant: '1.234': reads two ways as an amount of money; "
            "give `format`, '1,234.56' or '1.234,56'",
        ),
        (
            "amount: value",
            "amount: {column: value, default: none}",
            f"{AT}.amount.default: 'none': not an amount of money",
        ),
        ("amount: value", "amount: {column: value, default: -1, minimum: 0}", f"{AT}.amount.default: '-1': below 0"),
        (
            "amount: value",
            "amount: {column: value, equals: 5}",
            f"{AT}.amount.equals: makes true or false, but amount is money",
        ),
        (
            "amount: value",
            "amount: {column: value, upper: true, lower: true}",
            f"{AT}.amount.lower: cannot stand with 'upper'",
        ),
        (
            "amount: value",
            "is_won: {column: stage, equals: Won, in: [Won]}",
            f"{AT}.is_won.in: cannot stand with 'equals'",
        ),
        (
            "amount: value",
            "is_won: {column: stage, equals: Won, default: no}",
            f"{AT}.is_won.default: cannot stand with 'equals'",
        ),
        ("amount: value", "is_won: {column: stage, format: x}", f"{AT}.is_won.format: a boolean takes no format"),
        (
            "amount: value",
            "amount: {column: value, format: '0.00'}",
            f"{AT}.amount.format: unknown value '0.00'; known: 1,234.56, 1.234,56",
        ),
        (
            "amount: value",
            "amount: {column: value, minimum: low}",
            f"{AT}.amount.minimum: expected a number, found 'low'",
        ),
        ("amount: value", "name: {column: id, minimum: 0}", f"{AT}.name.minimum: a text has no minimum"),
        (
            "amount: value",
            "close_date: {column: modified, maximum: 31/12/2025}",
            f"{AT}.close_date.maximum: expected an ISO date, found '31/12/2025'",
        ),
        (
            "amount: value",
            "close_date: {column: modified, format: dd/mm/yyyy}",
            f"{AT}.close_date.format: expected a pattern such as '%d/%m/%Y', found 'dd/mm/yyyy'",
        ),
        ("amount: value", "close_date: {column: modified, format: '%Q'}", f"{AT}.close_date.format: '%Q': "),
        (
            "amount: value",
            "amount: {column: value, required: maybe}",
            f"{AT}.amount.required: expected true or false, found 'maybe'",
        ),
        (
            "amount: value",
            "amount: {column: value, values: [a]}",
            f"{AT}.amount.values: expected keys with values, found a list",
        ),
        (
            "amount: value",
            "name: {column: id, ignore_case: true, values: {a: x, A: y}}",
            f"{AT}.name.values: 'a' and 'A' are alike where case is ignored",
        ),
        (
            "references: accounts",
            "references: acounts",
            f"{AT}.account_id.references: refers to 'acounts', which this mapping does not fill "
            "(did you mean 'accounts'?)",
        ),
        (
            "references: accounts",
            "references: contacts",
            f"{AT}.account_id.references: refers to 'contacts', which this mapping does not fill",
        ),
        (
            "      name: name",
            "      name: {column: name, references: opportunities}",
            "tables: circular references among accounts, opportunities",
        ),
        # words
        ("trim: true", "values: {x: Wonn}", f"{AT}.stage.values.x: unknown value 'Wonn' (did you mean 'Won'?)"),
        ("trim: true", "default: Wonn", f"{AT}.stage.default: unknown value 'Wonn' (did you mean 'Won'?)"),
        (
            "amount: value",
            "type: {constant: upsell}",
            f"{AT}.type.constant: unknown value 'upsell'; known: new, expansion, renewal",
        ),
        (
            "{column: role, lower: true}",
            "role",
            "tables.users.columns.role: unknown value 'Rep' in 1 row of users.csv (did you mean 'rep'?)",
        ),
        ("stage: Won, ", "stage: Gone, ", f"{AT}.stage: unknown value 'Won' in 1 row of deals.csv"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, written, instead, line):
    assert written in WHOLE
    folder = write(tmp_path, WHOLE.replace(written, instead, 1), FILES)
    with pytest.raises(UserError) as refused:
        load(folder)
    text = str(refused.value)
    assert text.startswith((f"mapping.yml: {line}", f"mapping.yml:{' ' * line.startswith('line')}{line}")), text
    assert "\n" not in text and str(tmp_path) not in text


def test_values_that_no_rule_reads_are_counted_and_the_commonest_is_named(tmp_path):
    files = FILES | {"deals.csv": "id,stage,value,account,modified\n1,won,,,\n2,Closed  Won,,,\n3,Closed  Won,,,\n"}
    with pytest.raises(UserError, match=r"unknown value 'Closed  Won' in 2 rows of deals.csv; known: Prospecting, "):
        load(write(tmp_path, WHOLE, files))


def test_a_history_is_refused_for_a_stage_or_field_nobody_knows(tmp_path):
    mapping = (
        HEAD
        + """\
tables:
  opportunity_history:
    files: history.csv
    columns: {opportunity_id: id, field: field, new_value: new, changed_at: at}
"""
    )
    for row, line in (
        ("1,stage,Wonn,2025-01-01", "new_value: unknown stage 'Wonn' in 1 row of history.csv (did you mean 'Won'?)"),
        ("1,amout,5,2025-01-01", "field: unknown value 'amout' in 1 row of history.csv (did you mean 'amount'?)"),
    ):
        with pytest.raises(UserError, match=re.escape(f"tables.opportunity_history.columns.{line}")):
            load(write(tmp_path, mapping, {"history.csv": f"id,field,new,at\n{row}\n"}))


def test_a_reference_needs_a_table_whose_rows_have_an_id(tmp_path):
    mapping = WHOLE.replace("references: accounts", "references: quotas").replace(
        "  users:",
        "  quotas:\n    files: q.csv\n    columns: {team: a, period_start: b, period_end: c, amount: d}\n  users:",
    )
    with pytest.raises(UserError, match="references: a row of quotas has no id of its own to refer to"):
        load(write(tmp_path, mapping, FILES))


def test_a_column_that_stands_twice_is_refused_only_where_it_is_read(tmp_path):
    files = FILES | {"accounts.csv": "account,name,x,x\nA,Acme,1,2\n"}
    load(write(tmp_path, WHOLE, files))
    with pytest.raises(UserError, match=r"name: column 'name' stands twice in the header of accounts\.csv"):
        load(write(tmp_path, WHOLE, files | {"accounts.csv": "account,name,name\nA,Acme,1\n"}))


def test_a_missing_mapping_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"mapping\.yml: no such mapping \(did you mean 'maping\.yml'\?\)$"):
        (tmp_path / "maping.yml").touch()
        read_mapping(tmp_path)


def test_a_mapping_may_lie_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    for folder in ("../data", "${EXPORTS}/data", str(tmp_path / "data")):
        mapping = tmp_path / "maps" / "acme.yml"
        mapping.parent.mkdir(exist_ok=True)
        mapping.write_text(WHOLE.replace("source: acme", f"source: acme\nfolder: {folder}"))
        monkeypatch.setenv("EXPORTS", str(tmp_path))
        for name, content in FILES.items():
            (tmp_path / "data" / name).write_text(content)
        assert load(mapping).reports[0].read == 1


def test_a_variables_value_is_never_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPORTS", "a-secret")
    with pytest.raises(UserError) as refused:
        load(write(tmp_path, WHOLE.replace("as_of: 2025-06-30", "folder: ${EXPORTS}"), FILES))
    assert "a-secret" not in str(refused.value)


def _fingerprint(tmp_path: Path, mapping: str) -> str:
    return read_mapping(write(tmp_path, mapping, {})).fingerprint


def test_the_fingerprint_is_that_of_the_reading(tmp_path):
    first = _fingerprint(tmp_path, WHOLE)
    reordered = WHOLE.replace(
        "source: acme\ntimezone: America/New_York\n", "timezone: America/New_York # here\nsource: 'acme'\n"
    )
    reordered = reordered.replace("{column: stage, trim: true}", "{trim: true, column: stage}")
    for same in (reordered, WHOLE.replace("2025-06-30", "2025-07-31"), WHOLE.replace("deals.csv", "deals-2.csv")):
        assert same != WHOLE and _fingerprint(tmp_path, same) == first
    for other in (WHOLE.replace("trim: true", "trim: false"), WHOLE.replace("{stage: Engaging}", "{stage: Engaged}")):
        assert _fingerprint(tmp_path, other) != first


def test_stage_order_counts_for_the_fingerprint(tmp_path):
    swapped = WHOLE.replace("{stage: Engaging}", "#").replace("{stage: Won, outcome: won}", "{stage: Engaging}")
    swapped = swapped.replace("  - #\n", "  - {stage: Won, outcome: won}\n")
    assert _fingerprint(tmp_path, swapped) != _fingerprint(tmp_path, WHOLE)


@pytest.mark.parametrize(
    ("as_of", "instant"),
    [
        ("2025-06-30", datetime(2025, 7, 1, 3, 59, 59, 999999)),
        ("2025-06-30T18:00:00Z", datetime(2025, 6, 30, 18)),
        ("2025-06-30 18:00", datetime(2025, 6, 30, 22)),
    ],
)
def test_as_of(tmp_path, as_of, instant):
    assert read_mapping(write(tmp_path, WHOLE.replace("2025-06-30", as_of), {})).as_of == instant


def test_tables_stand_after_those_they_refer_to(tmp_path):
    head, tables = WHOLE.split("tables:\n")
    parts = re.split(r"(?m)^(?=  \w)", tables)[1:]
    mapping = read_mapping(write(tmp_path, head + "tables:\n" + "".join(reversed(parts)), {}))
    assert list(mapping.tables).index("accounts") < list(mapping.tables).index("opportunities")


def test_the_design_s_names_of_a_rate_are_understood(tmp_path):
    mapping = (
        HEAD + "tables:\n  currency_rates:\n    files: r.csv\n    columns: {from: a, to: b, valid_from: c, rate: d}\n"
    )
    export = load(write(tmp_path, mapping, {"r.csv": "a,b,c,d\nEUR,USD,2025-01-01,1.085\n"}))
    assert export.rows("select from_currency, to_currency, cast(rate as double), rate_type from currency_rates") == [
        ("EUR", "USD", 1.085, "dated")
    ]


def test_shapes_vocabularies_and_required_columns_agree():
    assert set(shapes.REQUIRED) == set(CANONICAL)
    named = {(table, column) for table, columns in (shapes.REQUIRED | EITHER).items() for column in columns} | set(
        WORDS
    )
    for table, column in named:
        assert column in CANONICAL[table].columns
    for table in CANONICAL.values():
        assert set(table.key) <= set(table.columns)
        assert all(default_type(table.name, column) in TYPES for column in table.columns)


# -- the documentation -------------------------------------------------------------------------------------------------

EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.S)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.split("\n")[0] for example in EXAMPLES])
def test_the_documentations_examples_are_understood(tmp_path, example):
    if example.startswith("tables:"):
        example = HEAD + example
    elif not example.startswith("version:"):  # rules of columns of opportunities
        rules = "".join(f"      {line}\n" for line in example.splitlines())
        accounts = "  accounts:\n    files: a.csv\n    columns: {account_id: id}\n"
        example = HEAD + f"tables:\n{accounts}  opportunities:\n    files: d.csv\n    columns:\n{rules}"
    read_mapping(write(tmp_path, example, {}))


def test_the_documentation_names_every_key_table_column_and_word():
    text = PAGE.read_text("utf-8")
    for word in (*ROOT_KEYS, *TABLE_KEYS, *RULE_KEYS, *STAGE_KEYS, *TYPES):
        assert f"`{word}`" in text, word
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| (.*) \|$", text))
    for table in CANONICAL.values():
        told = set(re.findall(r"\w+", rows[table.name]))
        assert {column for column in table.columns if column not in ("source_system", "extra_attributes")} <= told, (
            table.name
        )
        assert set(re.findall(r"\*\*(\w+)\*\*", rows[table.name])) == set(shapes.REQUIRED[table.name]), table.name
    for (table, column), words in WORDS.items():
        row = next(line for line in text.splitlines() if line.startswith("|") and f"`{table}.{column}`" in line)
        if column != "field":
            assert set(words) <= set(re.findall(r"\w+", row)), row


def test_the_encodings_named_are_known():
    for encoding in ENCODINGS:
        "é".encode(encoding)
