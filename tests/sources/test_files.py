"""What the files source makes of an export: each rule, each reason to reject, each kind of file, two real exports."""

from __future__ import annotations

import json
import os
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dagster_project.settings import PROJECT_ROOT, UserError
from tests.sources.exports import load, read_cells, write

MAPPINGS = PROJECT_ROOT / "tests" / "sources" / "mappings"
DATA = PROJECT_ROOT.parent / "shared" / "data"

USERS = """\
tables:
  users:
    files: {files}
    columns: {{user_id: id, name: name, hire_date: hired}}
"""


# -- one rule at a time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("$22,700.00", "22700"),
        ("1.234,50 €", "1234.50"),
        ("(1,200)", "-1200"),
        ("$(1,200)", "-1200"),
        ("1e6", "1000000"),
        ("-5", "-5"),
        ("5-", "-5"),
        ("\N{MINUS SIGN}5", "-5"),
        ("$-5", "-5"),
        ("-$5", "-5"),
        ("1,234", "1234"),
        ("1,234,567.8", "1234567.80"),
        ("12,34,567", "1234567"),
        ("1.234.567", "1234567"),
        ("12,5", "12.50"),
        ("0,125", "0.13"),
        ("1234.567", "1234.57"),
        ("1 234,50", "1234.50"),
        ("1\N{NO-BREAK SPACE}234,50", "1234.50"),
        ("1'234.50", "1234.50"),
        ("US$ 5", "5"),
        ("EUR 5", "5"),
        ("5 USD", "5"),
        (" 7 ", "7"),
    ],
)
def test_money_is_read_as_people_write_it(tmp_path, written, read):
    assert read_cells(tmp_path, "{column: cell, type: money}", written) == ([Decimal(read)], [])


def test_money_that_reads_two_ways_is_rejected_and_never_guessed(tmp_path):
    values, reasons = read_cells(tmp_path, "cell", "1.234", "$33.333", "1.234,56")
    assert values == [Decimal("1234.56")]
    assert reasons == ["reads two ways as an amount of money; give `format`, '1,234.56' or '1.234,56'"] * 2


@pytest.mark.parametrize(("way", "read"), [("1,234.56", "1.23"), ("1.234,56", "1234")])
def test_a_number_format_settles_it(tmp_path, way, read):
    assert read_cells(tmp_path, f'{{column: cell, format: "{way}"}}', "1.234") == ([Decimal(read)], [])


@pytest.mark.parametrize("written", ["12K", "5 MIO", "2024-01-01", "(-5)", "--5", "1,23,4567", "abc", "N/A", "1e400"])
def test_what_is_no_money_is_rejected(tmp_path, written):
    assert read_cells(tmp_path, "cell", written) == ([], ["not an amount of money"])


def test_numbers_of_each_type(tmp_path):
    assert read_cells(tmp_path, "cell", "0.5", "50%", "1,5 %", "", column="probability")[0] == [
        Decimal("0.5"), Decimal("0.5"), Decimal("0.015"), None
    ]  # fmt: skip
    assert read_cells(tmp_path, "{column: cell, type: percent}", "90", "12,5%", column="probability")[0] == [
        Decimal("0.9"), Decimal("0.125")
    ]  # fmt: skip


def test_a_share_above_one_is_rejected_with_the_way_out(tmp_path):
    _, reasons = read_cells(tmp_path, "cell", "90", "1,234", column="probability")
    assert reasons == [
        "above 1; `type: percent` reads 90 as 0.9",
        "reads two ways as a number; give `format`, '1,234.56' or '1.234,56'",
    ]


def test_whole_numbers(tmp_path):
    mapping = "tables:\n  accounts:\n    files: a.csv\n    columns: {account_id: id, employee_count: n}\n"
    export = load(write(tmp_path, mapping, {"a.csv": 'id,n\n1,"1,200"\n2,12.0\n3,12.5\n4,many\n'}))
    assert export.rows("select * exclude (source_system) from accounts where employee_count is not null") != []
    assert export.column("select employee_count from accounts order by account_id") == [1200, 12]
    assert [reason for *_, reason in export.reasons()] == ["not a whole number"] * 2


def test_dates_are_iso_unless_a_format_is_given(tmp_path):
    values, reasons = read_cells(
        tmp_path, "cell", "2025-06-30", "2025-06-30 23:30:00", "2025-06-30T02:00:00Z", "30/06/2025", "2025-6-3",
        column="close_date",
    )  # fmt: skip
    # a CRM's date is never shifted; an instant falls on the date it has in the mapping's time zone
    assert values == [date(2025, 6, 30), date(2025, 6, 30), date(2025, 6, 29)]
    assert reasons == ["not a date as 2025-06-30; give `format`"] * 2


def test_formats_are_tried_in_order(tmp_path):
    values, reasons = read_cells(
        tmp_path, '{column: cell, format: ["%m/%d/%Y", "%d/%m/%Y"]}', "1/2/2025", "31/12/2025", "2025-01-02",
        column="close_date",
    )  # fmt: skip
    assert values == [date(2025, 1, 2), date(2025, 12, 31)]
    assert reasons == ["not a date in the format %m/%d/%Y or %d/%m/%Y"]


def test_times_without_a_zone_are_local_and_land_as_utc(tmp_path):
    values, reasons = read_cells(
        tmp_path, "cell", "2025-07-01 09:00", "2025-01-01T09:00:00.5", "2025-07-01T09:00Z", "2025-07-01 09:00:00 +0200",
        "2025-07-01", "noon", column="created_at",
    )  # fmt: skip
    assert values == [
        datetime(2025, 7, 1, 13), datetime(2025, 1, 1, 14, 0, 0, 500_000), datetime(2025, 7, 1, 9),
        datetime(2025, 7, 1, 7), datetime(2025, 7, 1, 4),
    ]  # fmt: skip
    assert reasons == ["not a point in time as 2025-06-30T17:00:00; give `format`"]


def test_times_with_a_format(tmp_path):
    rule = '{column: cell, format: ["%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M %z"]}'
    values, _ = read_cells(tmp_path, rule, "01.07.2025 09:00", "01.07.2025 09:00 +0000", column="created_at")
    assert values == [datetime(2025, 7, 1, 13), datetime(2025, 7, 1, 9)]


def test_type_date_cuts_the_time_of_day_off(tmp_path):
    values, _ = read_cells(tmp_path, "{column: cell, type: date}", "2025-07-01 18:45", column="created_at")
    assert values == [datetime(2025, 7, 1, 4)]


def test_yes_and_no(tmp_path):
    values, reasons = read_cells(tmp_path, "cell", "Yes", "f", "1", "off", "", "perhaps", column="is_won")
    assert values == [True, False, True, False, None]
    assert reasons == ["not yes or no"]


@pytest.mark.parametrize(
    ("rule", "cells", "read"),
    [
        ("cell", ["", " a  b "], [None, " a  b "]),
        ("{column: cell, trim: true}", [" a \t\n b ", "  ", "\N{NO-BREAK SPACE}c"], ["a b", None, "c"]),
        ("{column: cell, upper: true}", ["ab"], ["AB"]),
        ("{column: cell, lower: true}", ["AB"], ["ab"]),
        ("{column: cell, values: {GTXPro: GTX Pro, none: null}}", ["GTXPro", "none", "MG"], ["GTX Pro", None, "MG"]),
        ("{column: cell, ignore_case: true, values: {gtxpro: GTX Pro}}", ["GTXPRO", "Mg"], ["GTX Pro", "Mg"]),
        ("{column: cell, empty: [N/A, '-']}", ["N/A", "-", "n/a"], [None, None, "n/a"]),
        ("{column: cell, empty: N/A, default: GTX}", ["N/A", "", "MG"], ["GTX", "GTX", "MG"]),
        ("{constant: 007}", ["x"], ["007"]),
        ("{constant: No}", ["x"], ["No"]),
        ("{columns: [id, cell], join: '/'}", ["a", ""], ["1/a", "2"]),
        ("{columns: [id, cell], join: ''}", ["a"], ["1a"]),
        ("{column: cell, type: date, format: '%d/%m/%Y'}", ["30/06/2025"], ["2025-06-30"]),
        ("{column: cell, type: money}", ["$1,200"], ["1200.00"]),
    ],
)
def test_rules_for_text(tmp_path, rule, cells, read):
    assert read_cells(tmp_path, rule, *cells, column="product") == (read, [])


@pytest.mark.parametrize(
    ("rule", "read"),
    [
        ("{column: cell, equals: Won}", [True, False, False, None]),
        ("{column: cell, equals: Won, ignore_case: true}", [True, True, False, None]),
        ("{column: cell, in: [Won, Lost]}", [True, False, True, None]),
        ("{column: cell, values: {WON: Won}, equals: Won}", [True, True, False, None]),
    ],
)
def test_equals_and_in_make_yes_or_no(tmp_path, rule, read):
    assert read_cells(tmp_path, rule, "Won", "WON", "Lost", "", column="is_won") == (read, [])


def test_minimum_maximum_and_required(tmp_path):
    values, reasons = read_cells(tmp_path, "{column: cell, minimum: 0, maximum: 99.5}", "-1", "0", "99.5", "$100", "")
    assert values == [0, Decimal("99.5"), None]
    assert reasons == ["below 0", "above 99.5"]
    _, reasons = read_cells(tmp_path, "{column: cell, required: true, empty: '?'}", "", "?")
    assert reasons == ["empty, but required"] * 2
    rule = "{column: cell, minimum: 2020-01-01, format: '%d/%m/%Y'}"
    assert read_cells(tmp_path, rule, "31/12/2019", "01/01/2020", column="close_date") == (
        [date(2020, 1, 1)], ["below 2020-01-01"]
    )  # fmt: skip


def test_a_stage_is_matched_to_the_list(tmp_path):
    mapping = """\
tables:
  opportunities:
    files: deals.csv
    columns:
      opportunity_id: id
      stage: {column: stage, trim: true, ignore_case: true, values: {closed_won: Won}}
"""
    deals = "id,stage\n1, engaging \n2,CLOSED_WON\n3,Lost\n4,\n"
    export = load(write(tmp_path, mapping, {"deals.csv": deals}))
    assert export.rows("select stage, pipeline, currency_code, source_system from opportunities order by 1") == [
        ("Engaging", "default", "USD", "acme"), ("Lost", "default", "USD", "acme"), ("Won", "default", "USD", "acme")
    ]  # fmt: skip
    assert export.reasons() == [(5, "stage", None, "empty, but required")]


def test_currency_fills_rows_without_one_and_must_be_known(tmp_path):
    values, reasons = read_cells(tmp_path, "{column: cell, upper: true}", "eur", "", "dollar", column="currency_code")
    assert values == ["EUR", "USD"]
    assert reasons == ["not an ISO currency code (`upper: true` reads usd as USD)"]


def test_stages_land_in_order(tmp_path):
    mapping = """\
version: 1
source: acme
timezone: UTC
stages:
  - {stage: New, pipeline: sales, probability: 0.1, forecast_category: pipeline}
  - {stage: Won, pipeline: sales, outcome: won}
  - {stage: New, pipeline: renewals, is_pipeline: false}
tables:
  opportunities:
    files: deals.csv
    columns: {opportunity_id: id, stage: stage, pipeline: line}
"""
    export = load(write(tmp_path, mapping, {"deals.csv": "id,stage,line\n1,New,sales\n2,Won,renewals\n3,Won,\n"}))
    assert export.rows("select * from stages order by stage_order") == [
        ("acme", "sales", "New", 1, True, "open", Decimal("0.1"), "pipeline", None),
        ("acme", "sales", "Won", 2, False, "won", None, None, None),
        ("acme", "renewals", "New", 3, False, "open", None, None, None),
    ]
    assert export.reasons() == [(3, "stage", "Won", "not a stage of the row's pipeline")]


def test_what_a_history_tells_is_read_as_the_field_it_is_about(tmp_path):
    mapping = """\
tables:
  opportunity_history:
    files: changes.csv
    columns:
      opportunity_id: id
      field: {column: field, values: {Amount: amount, Stage: stage, CloseDate: close_date, Owner: owner_id}}
      old_value: {column: old, ignore_case: true}
      new_value: {column: new, ignore_case: true}
      changed_at: at
    where: {field: [Amount, Stage, CloseDate, Owner]}
"""
    changes = """\
id,field,old,new,at
1,Stage,ENGAGING,won,2025-01-01
1,Amount,"$1,200",,2025-01-02
1,CloseDate,2025-01-01,30/06/2025,2025-01-03
1,Owner,U1,U2,2025-01-04
1,Description,a,b,2025-01-05
"""
    export = load(write(tmp_path, mapping, {"changes.csv": changes}))
    assert export.rows("select field, old_value, new_value from opportunity_history order by changed_at") == [
        ("stage", "Engaging", "Won"), ("amount", "1200.00", None), ("owner_id", "U1", "U2")
    ]  # fmt: skip
    assert export.reasons() == [(4, "new", "30/06/2025", "not a value of the field it stands for")]
    assert export.reports[0].filtered == 1


# -- rows beside each other --------------------------------------------------------------------------------------------

VERSIONS = """\
tables:
  opportunities:
    files: deals.csv
    columns:
      opportunity_id: id
      stage: {constant: Engaging}
      amount: {column: amount, minimum: 0}
      name: {column: name, trim: true}
      last_modified_at: modified
"""
LATEST = VERSIONS + "    latest_by: last_modified_at\n"


def test_exact_duplicates_are_dropped_and_counted(tmp_path):
    # alike in all that is read of them: the note is not mapped, the name is trimmed
    deals = "id,amount,name,modified,note\n1,5,A,2025-01-01,x\n1,5,A ,2025-01-01,y\n1,5,A,2025-01-01,x\n"
    export = load(write(tmp_path, VERSIONS, {"deals.csv": deals}))
    assert (export.reports[0].kept, export.reports[0].exact_duplicates, export.rejected) == (1, 2, [])


def test_rejected_rows_count_as_duplicates_only_when_wholly_alike(tmp_path):
    deals = "id,amount,name,modified\n1,bad,A,2025-01-01\n1,bad,A,2025-01-01\n1,worse,A,2025-01-01\n"
    export = load(write(tmp_path, LATEST, {"deals.csv": deals}))
    assert [(row.line, row.value) for row in export.rejected] == [(2, "bad"), (4, "worse")]
    assert export.reports[0].exact_duplicates == 1


def test_latest_by_keeps_the_newest(tmp_path):
    deals = """\
id,amount,name,modified
1,5,old,2025-01-01
1,6,new,2025-02-01
1,7,undated,
2,-1,newest is wrong,2025-02-01
2,1,older was right,2025-01-01
3,1,one,2025-01-01
3,2,other,2025-01-01
4,1,bad stamp,someday
4,1,good stamp,2025-01-01
"""
    export = load(write(tmp_path, LATEST, {"deals.csv": deals}))
    assert export.column("select name from opportunities order by 1") == ["good stamp", "new"]
    assert export.reports[0].stale == 3
    assert export.reasons() == [
        (5, "amount", "-1", "below 0"),
        (7, "id", "3", "shares its key with another row and its last_modified_at too"),
        (8, "id", "3", "shares its key with another row and its last_modified_at too"),
        (9, "modified", "someday", "not a point in time as 2025-06-30T17:00:00; give `format`"),
    ]


def test_rows_that_share_a_key_are_all_rejected_when_nothing_tells_which_is_right(tmp_path):
    deals = "id,amount,name,modified\n1,5,A,\n1,6,A,\n2,5,A,\n"
    export = load(write(tmp_path, VERSIONS, {"deals.csv": deals}))
    assert export.column("select opportunity_id from opportunities") == ["2"]
    assert export.reasons() == [
        (2, "id", "1", "shares its key with another row; `latest_by` keeps the newest"),
        (3, "id", "1", "shares its key with another row; `latest_by` keeps the newest"),
    ]


def test_orphans_are_rejected_against_the_rows_that_were_kept(tmp_path):
    mapping = """\
tables:
  activities:
    files: activities.csv
    columns:
      activity_id: id
      type: type
      occurred_at: at
      opportunity_id: {column: deal, references: opportunities, required: true}
  opportunities:
    files: deals.csv
    columns:
      opportunity_id: id
      stage: {constant: Engaging}
      account_id: {column: account, references: accounts}
  accounts:
    files: accounts.csv
    columns:
      account_id: id
      parent_id: {column: parent, references: accounts}
"""
    files = {
        "accounts.csv": "id,parent\nA,\nB,A\nC,D\nE,C\n",
        "deals.csv": "id,account\n1,A\n2,\n3,X\n4,E\n",
        "activities.csv": "id,deal,type,at\na,1,call,2025-01-01\nb,3,call,2025-01-01\nc,,call,2025-01-01\n",
    }
    export = load(write(tmp_path, mapping, files))
    assert export.column("select account_id from accounts order by 1") == ["A", "B"]
    assert export.column("select opportunity_id from opportunities order by 1") == ["1", "2"]
    assert export.column("select activity_id from activities") == ["a"]
    assert [(row.file, row.line, row.column, row.value, row.reason) for row in export.rejected] == [
        ("accounts.csv", 4, "parent", "D", "no such row in accounts"),
        ("accounts.csv", 5, "parent", "C", "no such row in accounts"),
        ("deals.csv", 4, "account", "X", "no such row in accounts"),
        ("deals.csv", 5, "account", "E", "no such row in accounts"),
        ("activities.csv", 3, "deal", "3", "no such row in opportunities"),
        ("activities.csv", 4, "deal", None, "empty, but required"),
    ]


def test_where_filters_and_counts(tmp_path):
    mapping = USERS.format(files="users.csv") + "    where: {kind: [rep, null], active: yes}\n"
    users = "id,name,hired,kind,active\n1,A,,rep,yes\n2,B,,,yes\n3,C,,bot,yes\n4,D,,rep,no\n"
    export = load(write(tmp_path, mapping, {"users.csv": users}))
    assert export.column("select user_id from users order by 1") == ["1", "2"]
    assert export.reports[0].filtered == 2


def test_wide_columns_become_rows(tmp_path):
    mapping = """\
tables:
  quotas:
    files: quotas.csv
    unpivot: {columns: [2025 Q*], name: quarter, value: quota}
    columns:
      user_id: rep
      amount: quota
      period_start: {column: quarter, values: {2025 Q1: 2025-01-01, 2025 Q2: 2025-04-01}}
      period_end: {column: quarter, values: {2025 Q1: 2025-03-31, 2025 Q2: 2025-06-30}}
"""
    quotas = 'rep,2025 Q1,2025 Q2\nU1,"$100,000",120000\nU2,,lots\n'
    export = load(write(tmp_path, mapping, {"quotas.csv": quotas}))
    assert export.rows(
        "select user_id, period_start, period_end, amount, type, currency_code from quotas order by 2"
    ) == [
        ("U1", date(2025, 1, 1), date(2025, 3, 31), Decimal(100000), "full", "USD"),
        ("U1", date(2025, 4, 1), date(2025, 6, 30), Decimal(120000), "full", "USD"),
    ]
    assert export.reasons() == [(3, "quota", "lots", "not an amount of money")]
    assert (export.reports[0].read, export.reports[0].filtered) == (4, 1)  # an empty cell of a wide column is no row


def test_a_row_must_fill_one_of_two_columns(tmp_path):
    mapping = """\
tables:
  activity_participants:
    files: people.csv
    columns: {activity_id: id, email: email, contact_id: contact}
"""
    export = load(write(tmp_path, mapping, {"people.csv": "id,email,contact\n1,a@b.c,\n1,,C1\n1,,\n"}))
    assert export.rows("select email, contact_id from activity_participants order by 1") == [
        ("a@b.c", None),
        (None, "C1"),
    ]
    assert export.reasons() == [(4, "email", None, "neither email nor contact_id is filled")]


def test_extra_columns_are_kept_as_attributes(tmp_path):
    mapping = USERS.format(files="users.csv") + "    extra: [shoe size, 'wo\"rd']\n"
    export = load(write(tmp_path, mapping, {"users.csv": 'id,name,hired,shoe size,"wo""rd"\n1,A,,44,\n'}))
    assert json.loads(export.column("select extra_attributes from users")[0]) == {"shoe size": "44", 'wo"rd': None}


def test_a_table_may_have_several_parts(tmp_path):
    mapping = """\
tables:
  users:
    - files: reps.csv
      columns: {user_id: id, role: {constant: rep}, manager_id: boss}
    - files: reps.csv
      columns: {user_id: boss, role: {constant: manager}}
"""
    export = load(write(tmp_path, mapping, {"reps.csv": "id,boss\n1,B\n2,B\n3,B\n"}))
    assert export.rows("select user_id, role, manager_id from users order by 1") == [
        ("1", "rep", "B"), ("2", "rep", "B"), ("3", "rep", "B"), ("B", "manager", None)
    ]  # fmt: skip
    assert [report.exact_duplicates for report in export.reports] == [0, 2]


# -- kinds of files ----------------------------------------------------------------------------------------------------


def test_lines_are_physical_lines(tmp_path):
    users = b"\r\n".join(
        [
            b"\xef\xbb\xbfid,name,hired",
            b'1,"two\r\nlines",bad',  # lines 2 and 3
            b"",
            b"2,short",  # line 5
            b'3,"a ""quoted"" word, and a comma",bad',
            b"4,too,many,cells",
            b"5,caf\xe9,",
            b'6,5" screen,bad',
            b'7,"badly" quoted,',
            b"8,good,2025-01-01",
            b"9,cut o",
        ]
    )
    export = load(write(tmp_path, USERS.format(files="users.csv"), {"users.csv": users}))
    assert [(row.line, row.value, row.reason.split(";")[0]) for row in export.rejected] == [
        (2, "bad", "not a date as 2025-06-30"),
        (5, None, "fewer cells than the header"),
        (6, "bad", "not a date as 2025-06-30"),
        (7, None, "more cells than the header"),
        (8, None, "not UTF-8"),
        (9, "bad", "not a date as 2025-06-30"),
        (10, None, "a quote that is not closed"),
        (12, None, "fewer cells than the header"),
    ]
    assert json.loads(export.rejected[0].row) == {"id": "1", "name": "two\r\nlines", "hired": "bad"}
    assert json.loads(export.rejected[4].row) == r"5,caf\xe9,"
    assert export.column("select name from users") == ["good"]


def test_a_quote_never_closed_swallows_the_rest_and_says_so(tmp_path):
    users = 'id,name,hired\n1,A,\n2,"B,\n3,C,\n'
    export = load(write(tmp_path, USERS.format(files="users.csv"), {"users.csv": users}))
    assert export.reasons() == [(3, "", None, "a quote that is not closed")]
    assert json.loads(export.rejected[0].row) == '2,"B,\n3,C,'


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path, delimiter):
    users = f'"id"{delimiter}"na,;|\tme"{delimiter}"hired"\n1{delimiter}A{delimiter}2025-01-01\n'
    mapping = USERS.replace("name: name", 'name: "na,;|\\tme"').format(files="users.csv")
    export = load(write(tmp_path, mapping, {"users.csv": users}))
    assert export.rows("select user_id, name, hire_date from users") == [("1", "A", date(2025, 1, 1))]


def test_the_delimiter_may_be_given(tmp_path):
    mapping = USERS.format(files="users.txt") + "    delimiter: '^'\n"
    export = load(write(tmp_path, mapping, {"users.txt": "id^name^hired\n1^A^\n"}))
    assert export.column("select name from users") == ["A"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_encodings(tmp_path, encoding):
    mapping = USERS.format(files="users.csv") + f"    encoding: {encoding}\n"
    users = "id,naïve,hired\n1,José,\n2,Zoë,bad\n".encode(encoding)
    export = load(write(tmp_path, mapping.replace("name: name", "name: naïve"), {"users.csv": users}))
    assert export.column("select name from users") == ["José"]
    assert [(row.line, json.loads(row.row)["naïve"]) for row in export.rejected] == [(3, "Zoë")]


def test_an_encoding_may_stand_for_all_tables(tmp_path):
    mapping = "version: 1\nsource: acme\ntimezone: UTC\nencoding: cp1252\ndelimiter: ;\n" + USERS.format(
        files="users.csv"
    )
    export = load(write(tmp_path, mapping, {"users.csv": "id;name;hired\n1;5 €;\n".encode("cp1252")}))
    assert export.column("select name from users") == ["5 €"]


@pytest.mark.parametrize("content", ["id,name,hired", "id,name,hired\r\n", "\ufeffid,name,hired\n"])
def test_a_file_with_a_header_only_has_no_rows(tmp_path, content):
    export = load(write(tmp_path, USERS.format(files="users.csv"), {"users.csv": content}))
    assert (export.reports[0].read, export.rejected) == (0, [])


def test_old_line_ends(tmp_path):
    export = load(write(tmp_path, USERS.format(files="users.csv"), {"users.csv": "id,name,hired\r1,A,\r2,B,bad\r"}))
    assert export.column("select user_id from users") == ["1"]
    assert [row.line for row in export.rejected] == [3]


def test_a_file_with_one_column(tmp_path):
    mapping = "tables:\n  users:\n    files: users.csv\n    columns: {user_id: id}\n"
    export = load(write(tmp_path, mapping, {"users.csv": "id\n1\n\n2\n"}))
    assert export.column("select user_id from users order by 1") == ["1", "2"]
    assert export.reasons() == [(3, "id", None, "empty, but required")]


def test_several_files_by_list_and_glob_with_columns_in_any_order(tmp_path):
    files = {
        "a/users-1.csv": "id,name,hired\n1,A,\n2,B,bad\n",
        "a/users-2.csv": "unread;hired;name;id\nx;2025-01-01;C;3\nx;;A;1\n",
        "more.csv": "id,name,hired\n4,D,\n",
    }
    export = load(write(tmp_path, USERS.format(files="[a/users-*.csv, more.csv]"), files))
    assert export.rows("select user_id, name, hire_date from users order by 1") == [
        ("1", "A", None), ("3", "C", date(2025, 1, 1)), ("4", "D", None)
    ]  # fmt: skip
    assert [(report.file, report.read, report.kept, report.exact_duplicates) for report in export.reports] == [
        ("a/users-1.csv", 2, 1, 0), ("a/users-2.csv", 2, 1, 1), ("more.csv", 1, 1, 0)
    ]  # fmt: skip
    assert [(row.file, row.line) for row in export.rejected] == [("a/users-1.csv", 3)]


def test_parquet(tmp_path):
    table = pa.table(
        {
            "id": pa.array([1, 2, 3]),
            "na me": ["A", "B", None],
            "hired": pa.array([date(2025, 1, 1), None, date(2020, 1, 1)]),
            "quota": pa.array([1e6, 2.5, -1.0]),
        }
    )
    pq.write_table(table, tmp_path / "users.parquet")
    mapping = """\
tables:
  users:
    files: users.parquet
    columns: {user_id: id, name: na me, hire_date: hired, annual_quota_amount: {column: quota, minimum: 0}}
"""
    export = load(write(tmp_path, mapping, {}))
    assert export.rows("select user_id, name, hire_date, annual_quota_amount from users order by 1") == [
        ("1", "A", date(2025, 1, 1), Decimal(1000000)), ("2", "B", None, Decimal("2.5"))
    ]  # fmt: skip
    assert export.reasons() == [(3, "quota", "-1.0", "below 0")]


@pytest.mark.parametrize(
    ("file", "content", "lines"),
    [
        ("users.json", '[{"id": 1, "name": "A"},\n\n{"id": 2, "hired": "bad", "name": {"first": "B"}}, 7]', [2, 3]),
        (
            "users.jsonl",
            '{"id": 1, "name": "A"}\n\n{"id": 2, "hired": "bad", "name": {"first": "B"}}\n{"id": 3,',
            [3, 4],
        ),
    ],
)
def test_json_as_array_or_lines(tmp_path, file, content, lines):
    export = load(write(tmp_path, USERS.format(files=file), {file: content}))
    assert export.rows("select user_id, name from users") == [("1", "A")]
    assert [(row.line, row.reason.split(";")[0]) for row in export.rejected] == [
        (lines[0], "not a date as 2025-06-30"), (lines[1], "not a JSON object")
    ]  # fmt: skip
    assert json.loads(export.rejected[0].row) == {"hired": "bad", "id": "2", "name": '{"first":"B"}'}


def test_an_empty_json_array_has_no_rows(tmp_path):
    assert load(write(tmp_path, USERS.format(files="users.json"), {"users.json": "[]"})).reports[0].read == 0


def test_names_and_values_are_never_taken_for_sql(tmp_path):
    hostile = "x'); drop table users; --"
    mapping = f"""\
version: 1
source: "o'brien"
timezone: UTC
tables:
  users:
    files: "it's \\"here\\".csv"
    columns:
      user_id: {{columns: ["{hostile}", 'a"b'], join: "'"}}
      name: {{column: 'a"b', values: {{"v'": "w'"}}, empty: "'", default: "d'"}}
    where: {{"where'": "'yes'"}}
    extra: ["{hostile}", "c/~d"]
"""
    users = f"\"{hostile}\",\"a\"\"b\",where',c/~d\n1,v','yes',7\n2,','yes',8\n3,x,no,9\n"
    export = load(write(tmp_path, mapping, {'it\'s "here".csv': users}))
    assert export.rows("select source_system, user_id, name, extra_attributes from users order by 2") == [
        ("o'brien", "1'v'", "w'", f'{{"{hostile}":"1","c/~d":"7"}}'),
        ("o'brien", "2''", "d'", f'{{"{hostile}":"2","c/~d":"8"}}'),
    ]


def test_a_file_name_is_not_taken_for_a_pattern(tmp_path):
    files = {"users[1].csv": "id,name,hired\n1,A,\n", "users1.csv": "id,name,hired\n2,B,\n"}
    export = load(write(tmp_path, USERS.format(files='"users[1].csv"'), files))
    assert export.column("select user_id from users") == ["1"]


def test_hostile_names_in_json_and_parquet(tmp_path):
    hostile = "a/b~c\"d'e.f"
    (tmp_path / "users.jsonl").write_text(json.dumps({hostile: "1"}))
    pq.write_table(pa.table({hostile: ["2"]}), tmp_path / "users.parquet")
    mapping = f"tables:\n  users:\n    files: users.*\n    columns:\n      user_id: {json.dumps(hostile)}\n"
    assert load(write(tmp_path, mapping, {})).column("select user_id from users order by 1") == ["1", "2"]


# -- the source as landing sees it -------------------------------------------------------------------------------------


def test_an_export_is_taken_at_the_last_instant_of_its_day_where_it_was_taken(tmp_path):
    source = load(write(tmp_path, USERS.format(files="users.csv"), {"users.csv": "id,name,hired\n"})).source
    assert {extract.extracted_at for extract in source.extracts()} == {datetime(2025, 7, 1, 3, 59, 59, 999999)}


def test_without_as_of_the_newest_file_tells_when(tmp_path):
    mapping = "version: 1\nsource: acme\ntimezone: UTC\n" + USERS.format(files="[a.csv, b.csv]")
    folder = write(tmp_path, mapping, {"a.csv": "id,name,hired\n", "b.csv": "id,name,hired\n"})
    os.utime(folder / "a.csv", (1_700_000_000, 1_700_000_000))
    os.utime(folder / "b.csv", (1_600_000_000, 1_600_000_000))
    [extract] = load(folder).source.extracts()
    assert extract.extracted_at == datetime(2023, 11, 14, 22, 13, 20)


def test_every_canonical_table_is_declared_and_only_mapped_ones_are_handed_over(tmp_path):
    mapping = USERS.format(files="users.csv") + "    full: true\n"
    source = load(write(tmp_path, mapping, {"users.csv": "id,name,hired\n"})).source
    assert {table.name for table in source.tables() if table.full} == {"stages", "users"}
    assert len(source.tables()) == 18
    assert [extract.table.name for extract in source.extracts()] == ["stages", "users"]
    assert (source.origin, source.system) == ("files", "acme")


def test_a_file_that_is_not_what_its_name_says_is_one_clear_line(tmp_path):
    for name, content in (("users.parquet", "no"), ("users.json", '[{"id": 1'), ("users.csv", "")):
        with pytest.raises(UserError, match=f"^{name}: .+") as refused:
            load(write(tmp_path, USERS.format(files=name), {name: content}))
        assert "\n" not in str(refused.value)


def test_a_large_file_is_read_in_order_and_its_lines_found(tmp_path):
    rows = "".join(f'{n},"na\nme",{"bad" if n % 50_000 == 7 else ""}\n' for n in range(100_000))
    export = load(write(tmp_path, USERS.format(files="users.csv"), {"users.csv": "id,name,hired\n" + rows}))
    assert export.reports[0].kept == 99_998
    assert [row.line for row in export.rejected] == [2 + 2 * 7, 2 + 2 * 50_007]


# -- real exports ------------------------------------------------------------------------------------------------------


def _real(name: str):
    if not (DATA / name).is_dir():
        pytest.skip(f"no {DATA / name}: the real exports are not part of the repository")
    return load(MAPPINGS / f"{name}.yml"), json.loads((DATA / name / "answers.json").read_text())


@pytest.fixture(scope="module")
def lakehouse():
    return _real("lakehouse")


@pytest.fixture(scope="module")
def maven():
    return _real("maven_crm")


def test_lakehouse_accounts_for_every_row(lakehouse):
    export, answers = lakehouse
    [report] = [report for report in export.reports if report.table == "opportunities"]
    defects = answers["documented_defects_found"]
    assert report.read == answers["raw_counts"]["opportunities"] == 3045
    assert report.exact_duplicates == defects["exact_duplicates"] == 30
    assert report.stale == defects["stale_versions"] == 15
    assert report.rejected == answers["quarantined"] == 24
    assert report.kept == answers["kept"] == 2976
    reasons = [row.reason for row in export.rejected]
    assert reasons.count("below 0") == defects["negative_amount"] == 9
    assert reasons.count("no such row in accounts") == defects["orphan_account"] == 15


def test_lakehouse_figures(lakehouse):
    export, answers = lakehouse
    assert dict(export.rows("select stage, count(*) from opportunities group by 1")) == answers["by_stage_kept"]
    [won] = export.rows("select count(*), sum(amount), median(amount) from opportunities where stage = 'Closed Won'")
    assert won == (847, Decimal("18639300.00"), answers["median_won"])
    [open_deals] = export.rows(
        "select count(*), sum(amount), count(*) - count(amount) from opportunities where closed_at is null"
    )
    assert open_deals == tuple(answers["open_pipeline"][key] for key in ("deals", "amount", "null_amount"))
    [cycle] = export.rows(
        "select round(avg(datediff('day', created_at, closed_at)), 4) from opportunities where stage = 'Closed Won'"
    )
    assert cycle == (answers["cycle"]["won_mean"],)
    assert export.column("select distinct currency_code from opportunities") == ["USD"]
    assert export.column("select count(*) from opportunities where close_date is null") == [0]


def test_lakehouse_history_activities_and_people(lakehouse):
    export, answers = lakehouse
    by_type = {kind.title(): n for kind, n in export.rows("select type, count(*) from activities group by 1")}
    assert by_type == answers["activities"]["by_type"]
    reached = "select new_value, count(distinct opportunity_id) from opportunity_history group by 1"
    assert dict(export.rows(reached)) == answers["stage_history"]["opps_ever_reaching"]
    assert dict(export.rows("select role, count(*) from users group by 1")) == {"rep": 40, "manager": 6}
    assert export.column("select count(*) from users where manager_id not in (select user_id from users)") == [0]


def test_maven_figures(maven):
    export, answers = maven
    assert export.rejected == []
    assert dict(export.rows("select stage, count(*) from opportunities group by 1")) == answers["counts"]["by_stage"]
    [won] = export.rows("select count(*), sum(amount), median(amount) from opportunities where stage = 'Won'")
    assert won == (4238, Decimal("10005534.00"), answers["median_won"])
    [nulls] = export.rows("select count(*) - count(account_id), count(*) - count(created_at) from opportunities")
    assert nulls == (answers["nulls"]["account"], answers["nulls"]["engage_date"])
    assert export.column("select count(distinct product) from opportunities") == [answers["counts"]["products"]]
    assert dict(export.rows("select role, count(*) from users group by 1")) == {
        "rep": answers["counts"]["sales_teams"], "manager": answers["counts"]["managers"]
    }  # fmt: skip
    assert export.column("select count(*) from accounts where industry = 'technolgy'") == [0]
