"""The landing step: what becomes a version, what is rejected, and that a load arrives whole or not at all."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from dagster_project.settings import PROJECT_ROOT, UserError
from dagster_project.sources import Extract, Progress, Rejected, Table
from dagster_project.sources.erasure import PERSONAL, erase_person
from dagster_project.sources.landing import activate, judge, land, pending, row_hash
from dagster_project.warehouse import ALL_TABLES, connect, prepare

TABLES = {table.relation: table for table in ALL_TABLES}
CAMPAIGNS = TABLES["raw_salesforce.campaign"]
PIPELINES = TABLES["raw_hubspot.deal_pipeline"]  # every extract carries all of them
ACCOUNTS = TABLES["raw_files.accounts"]
DAY = datetime(2025, 6, 30)


def day(number: int) -> datetime:
    return DAY + timedelta(days=number)


@dataclass
class Given:
    """A source that hands over what a test says: relation to rows, as SQL or Arrow batches."""

    rows: dict[str, object]
    at: datetime | None = DAY
    fingerprint: str | None = None
    origin: str = "given"
    system: str = "given"
    refused: list[Rejected] = field(default_factory=list)
    more: tuple[Table, ...] = ()

    def tables(self) -> list[Table]:
        return [*(TABLES[relation] for relation in self.rows), *self.more]

    def extracts(self) -> Iterable[Extract]:
        for relation, rows in self.rows.items():
            yield Extract(TABLES[relation], rows, self.at)

    def rejected(self) -> Iterable[Rejected]:
        return self.refused


def values(*rows: tuple, columns: str = '"Id", "Name"') -> str:
    """SQL of rows; a column may be missing, and a None is null."""
    if not rows:
        return f"select {', '.join(f'null as {name}' for name in columns.split(','))} where false"
    told = ", ".join("(" + ", ".join("null" if v is None else f"'{v}'" for v in row) + ")" for row in rows)
    return f"from (values {told}) as given_rows ({columns})"


def campaigns(*rows: tuple, at: datetime | None = DAY, **more) -> Given:
    columns = '"Id", "Name"' if at else '"Id", "Name", "_extracted_at"'
    return Given({CAMPAIGNS.relation: values(*rows, columns=columns)}, at, **more)


def pipelines(*rows: tuple, at: datetime = DAY, **more) -> Given:
    return Given({PIPELINES.relation: values(*rows, columns='"id", "label"')}, at, **more)


@pytest.fixture(scope="module")
def empty_warehouse(tmp_path_factory):
    path = tmp_path_factory.mktemp("empty") / "warehouse.duckdb"
    with connect(path) as connection:
        prepare(connection)
    return path


@pytest.fixture
def warehouse(empty_warehouse, warehouse_path):
    shutil.copy(empty_warehouse, warehouse_path)
    with connect(warehouse_path) as connection:
        yield connection


def arrive(warehouse, source: Given, accepted: bool = True, say=lambda line: None):
    """Land and judge; the report of the first table."""
    load = land(warehouse, source, say)
    for schema in dict.fromkeys(table.schema for table in source.tables()):
        if (schema, load.load_id) in {(each.schema, each.load_id) for each in pending(warehouse)}:
            judge(warehouse, schema, load.load_id, accepted, None if accepted else "bad")
    return load.tables[0]


def versions(warehouse, table: Table = CAMPAIGNS, column: str = "Name") -> list[tuple]:
    """What stands in a raw table of accepted loads: key, column, version, marks (deleted, correction), day."""
    found = warehouse.execute(
        f"""
        select "{table.key[-1]}", "{column}", _version,
            concat(case when _is_deleted then 'd' end, case when _is_correction then 'c' end),
            date_diff('day', timestamp '{DAY}', _extracted_at)
        from {table.relation}
        where _load_id in (
            select load_id from {table.schema}.loads where status = 'accepted' and table_name = '{table.name}'
        )
        order by all
        """
    ).fetchall()
    return found


def log(warehouse, columns: str, schema: str = "raw_salesforce") -> list[tuple]:
    return warehouse.execute(f"select {columns} from {schema}.loads order by load_id, table_name").fetchall()


def rejected(warehouse, schema: str = "raw_salesforce") -> list[tuple]:
    return warehouse.execute(
        f"select table_name, file, line, column_name, value, reason, row_text from {schema}.rejected_rows order by all"
    ).fetchall()


# Versions


def test_a_first_load_lands_every_row_stamped(warehouse):
    before = datetime.now(UTC).replace(tzinfo=None)
    report = arrive(warehouse, campaigns(("1", "Fair"), ("2", "Mail"), origin="acme", system="crm", fingerprint="f"))
    assert (report.relation, report.rows_read, report.rows_landed, report.rows_deleted, report.rows_rejected) == (
        "raw_salesforce.campaign", 2, 2, 0, 0,
    )  # fmt: skip
    assert versions(warehouse) == [("1", "Fair", 1, "", 0), ("2", "Mail", 1, "", 0)]
    [(load_id, loaded_at, same)] = warehouse.execute(
        f"""
        select distinct _load_id, _loaded_at, _row_hash = {row_hash(CAMPAIGNS)} and "StartDate" is null
        from {CAMPAIGNS.relation}
        """
    ).fetchall()
    assert load_id == 1 and same and before <= loaded_at <= datetime.now(UTC).replace(tzinfo=None)
    assert log(warehouse, "* exclude (seconds)") == [
        (1, "campaign", "acme", "crm", "load", "f", DAY, DAY, None, loaded_at, "accepted", None, 2, 2, 0, 0)
    ]


def test_the_same_input_twice_adds_nothing_and_keeps_as_of(warehouse):
    for _ in range(3):
        arrive(warehouse, campaigns(("1", "Fair"), ("2", None)))
    assert versions(warehouse) == [("1", "Fair", 1, "", 0), ("2", None, 1, "", 0)]
    assert log(warehouse, "kind, status, extracted_at, rows_read, rows_landed") == [
        ("load", "accepted", DAY, 2, 2), ("load", "accepted", DAY, 2, 0), ("load", "accepted", DAY, 2, 0),
    ]  # fmt: skip


def test_a_b_a_over_loads_is_three_versions_and_a_a_is_one(warehouse):
    for number, name in enumerate(["A", "A", "B", "B", "A"]):
        arrive(warehouse, campaigns(("1", name), ("2", "same"), at=day(number)))
    assert versions(warehouse) == [
        ("1", "A", 1, "", 0),
        ("1", "A", 3, "", 4),
        ("1", "B", 2, "", 2),
        ("2", "same", 1, "", 0),
    ]


def test_a_b_a_within_one_load_is_three_versions_in_the_order_of_their_instants(warehouse):
    rows = [("1", "A", day(4)), ("1", "A", day(0)), ("1", "A", day(1)), ("1", "B", day(2)), ("2", "x", day(3))]
    report = arrive(warehouse, campaigns(*rows, at=None))
    assert (report.rows_read, report.rows_landed) == (5, 4)
    assert versions(warehouse) == [
        ("1", "A", 1, "", 0),
        ("1", "A", 3, "", 4),
        ("1", "B", 2, "", 2),
        ("2", "x", 1, "", 3),
    ]
    assert log(warehouse, "first_extracted_at, extracted_at") == [(day(0), day(4))]


def test_a_history_handed_over_again_adds_only_what_is_newer(warehouse):
    history = [("1", "A", day(0)), ("1", "B", day(2)), ("2", "x", day(1)), ("1", "A", day(3))]
    arrive(warehouse, campaigns(*history, at=None))
    assert arrive(warehouse, campaigns(*history, at=None)).rows_landed == 0
    longer = [
        *history,
        ("1", "A", day(4)),
        ("1", "C", day(5)),
        ("2", "y", day(6)),
        ("3", "new", day(6)),
        ("1", "A", day(7)),
    ]
    assert arrive(warehouse, campaigns(*longer, at=None)).rows_landed == 4
    assert [row[:3] for row in versions(warehouse)] == [
        ("1", "A", 1), ("1", "A", 3), ("1", "A", 5), ("1", "B", 2), ("1", "C", 4),
        ("2", "x", 1), ("2", "y", 2), ("3", "new", 1),
    ]  # fmt: skip


def test_the_same_row_twice_in_one_extract_is_one(warehouse):
    report = arrive(warehouse, campaigns(("1", "A"), ("1", "A"), ("2", "B")))
    assert (report.rows_read, report.rows_landed, report.rows_rejected) == (3, 2, 0)
    assert arrive(warehouse, campaigns(("1", "A"), ("1", "A"), ("2", "B"), at=day(1))).rows_landed == 0


def test_rows_that_contradict_each_other_leave_one_and_the_other_is_rejected_every_time_alike(warehouse):
    rows = [("1", "A"), ("1", "B"), ("2", "x")]
    first = arrive(warehouse, campaigns(*rows))
    stands = versions(warehouse)
    assert (first.rows_landed, first.rows_rejected) == (2, 1)
    again = arrive(warehouse, campaigns(*reversed(rows), at=day(1)))
    assert (again.rows_landed, again.rows_rejected) == (0, 1)
    assert versions(warehouse) == stands
    name = {"A": "B", "B": "A"}[stands[0][1]]
    for row in rejected(warehouse):
        assert row[3:6] == ("Id", "1", "another row of this key and instant differs")
        assert f'"Name":"{name}"' in row[6]
    assert len(rejected(warehouse)) == 2


def test_keys_of_several_columns_may_have_nulls(warehouse):
    table = TABLES["raw_files.activity_participants"]
    columns = '"source_system", "activity_id", "email", "contact_id"'
    rows = [("acme", "1", "a@x.com", None), ("acme", "1", None, "c1"), ("acme", "1", "b@x.com", None)]
    source = Given({table.relation: values(*rows, columns=columns)})
    assert arrive(warehouse, source).rows_landed == 3
    assert arrive(warehouse, replace(source, at=day(1))).rows_landed == 0
    changed = values(*rows[:2], columns=f"{columns}").replace("from", "select *, 'x' as extra_attributes from", 1)
    assert arrive(warehouse, Given({table.relation: changed}, day(2))).rows_landed == 2
    found = warehouse.execute(f"select _version, count(*) from {table.relation} group by 1 order by 1").fetchall()
    assert found == [(1, 3), (2, 2)]


def test_sources_are_compared_with_themselves_only(warehouse):
    arrive(warehouse, campaigns(("1", "A"), origin="one", system="x"))
    for other in ({"origin": "two", "system": "x"}, {"origin": "one", "system": "y"}):
        assert arrive(warehouse, campaigns(("1", "A"), at=day(-1), **other)).rows_landed == 1


def test_the_hash_is_what_it_was(warehouse):
    """Hashes in a warehouse must outlive upgrades of DuckDB: if this one changes, every row would land as changed."""
    columns = {"a": "VARCHAR", "b": "BIGINT", "c": "DECIMAL(18,2)", "d": "DATE", "e": "TIMESTAMP", "f": "BOOLEAN"}
    row = """select 'Ärger' as a, 42::bigint as b, 12.30::decimal(18,2) as c, date '2025-06-30' as d,
        timestamp '2025-06-30 18:00:00.123' as e, null::boolean as f"""
    table = Table("any", "thing", columns, ("a",))
    assert warehouse.execute(f"select {row_hash(table)} from ({row})").fetchone() == (12946942147800336994,)


# Reading


def test_missing_columns_are_null_and_unknown_ones_are_told_once(warehouse):
    said: list[str] = []
    rows = "select '1' as id, 'Fair' as name, 1 as \"Colour\", 2 as \"Shape\" union all select '2', 'Mail', 1, 2"
    arrive(warehouse, Given({CAMPAIGNS.relation: rows}), say=said.append)
    assert versions(warehouse) == [("1", "Fair", 1, "", 0), ("2", "Mail", 1, "", 0)]
    assert said[0] == "raw_salesforce.campaign: not in its shape, so ignored: colour, shape"
    assert said[1].startswith("raw_salesforce.campaign: 2 rows new of 2 read in ") and len(said) == 2


def test_values_are_read_as_the_shape_says_and_a_row_that_cannot_be_is_rejected_whole(warehouse):
    columns = '"Id", "Name", "ActualCost", "StartDate", "CreatedDate", "IsDeleted"'
    rows = [
        ("1", "good", "12.5", "2025-01-31", "2025-01-31T10:00:00+02:00", "true"),
        ("2", "bad money", "12,5", "2025-01-31", "2025-01-31 10:00:00", "false"),
        ("3", "bad date", "1", "2025-02-30", "2025-01-31 10:00:00Z", "false"),
        ("4", "bad both", "x", "y", "z", "no way"),
        (None, "no key", "1", None, None, None),
    ]
    report = arrive(warehouse, Given({CAMPAIGNS.relation: values(*rows, columns=columns)}))
    assert (report.rows_read, report.rows_landed, report.rows_rejected) == (5, 1, 4)
    [row] = warehouse.execute(
        'select "ActualCost"::varchar, "StartDate"::varchar, "CreatedDate", "IsDeleted" from raw_salesforce.campaign'
    ).fetchall()
    assert row == ("12.50", "2025-01-31", datetime(2025, 1, 31, 8), True)
    found = [(column, value, reason) for _, _, _, column, value, reason, _ in rejected(warehouse)]
    assert found == [
        ("ActualCost", "12,5", "not a DECIMAL(18,2)"),
        ("Id", None, "the key is missing"),
        ("StartDate", "2025-02-30", "not a DATE"),
        ("StartDate", "y", "not a DATE"),
    ]
    assert '"Name":"bad both"' in rejected(warehouse)[3][6]


def test_zoned_instants_are_kept_in_utc(warehouse):
    zone = timezone(timedelta(hours=-5))
    created = pa.array([datetime(2025, 1, 31, 10, tzinfo=zone)], pa.timestamp("us", "America/New_York"))
    batch = pa.record_batch({"Id": ["1"], "CreatedDate": created})
    arrive(warehouse, Given({CAMPAIGNS.relation: iter([batch])}, at=datetime(2025, 6, 29, 19, tzinfo=zone)))
    found = warehouse.execute('select "CreatedDate", _extracted_at from raw_salesforce.campaign').fetchall()
    assert found == [(datetime(2025, 1, 31, 15), DAY)]


def test_a_row_without_the_instant_it_should_bring_is_rejected(warehouse):
    arrive(warehouse, campaigns(("1", "A", DAY), ("2", "B", None), at=None))
    assert versions(warehouse) == [("1", "A", 1, "", 0)]
    assert [row[3:6] for row in rejected(warehouse)] == [("_extracted_at", None, "its instant is missing")]


@pytest.mark.parametrize("kind", ["reader", "iterator", "empty iterator"])
def test_arrow_streams_land_like_sql(warehouse, kind):
    batches = [pa.record_batch({"Id": [str(n)], "Name": ["A"]}) for n in range(3)]
    rows = {
        "reader": pa.RecordBatchReader.from_batches(batches[0].schema, batches),
        "iterator": iter(batches),
        "empty iterator": iter([]),
    }[kind]
    count = 0 if kind == "empty iterator" else 3
    assert arrive(warehouse, Given({CAMPAIGNS.relation: rows})).rows_landed == count
    assert arrive(warehouse, Given({CAMPAIGNS.relation: iter(batches)}, day(1))).rows_landed == 3 - count


def test_what_a_source_raises_midway_reaches_the_user_and_nothing_lands(warehouse):
    def failing():
        yield pa.record_batch({"Id": ["1"]})
        raise UserError("the export ends in the middle of a row")

    source = Given({PIPELINES.relation: values(("1", "A"), columns='"id", "label"'), CAMPAIGNS.relation: failing()})
    with pytest.raises(UserError, match="middle of a row"):
        land(warehouse, source, lambda line: None)
    for relation in (PIPELINES.relation, CAMPAIGNS.relation, "raw_hubspot.loads", "raw_salesforce.loads"):
        assert warehouse.execute(f"select count(*) from {relation}").fetchone() == (0,)
    arrive(warehouse, campaigns(("1", "A")))  # and the connection still works


def test_rows_the_source_rejected_are_kept_and_counted(warehouse):
    row = Rejected("accounts", "accounts.csv", 7, "created_at", "31.13.25", "not a date", '{"id": "9"}')
    accounts = values(("acme", "1", "A"), columns='"source_system", "account_id", "name"')
    load = land(warehouse, Given({ACCOUNTS.relation: accounts}, refused=[row]), lambda line: None)
    assert (load.tables[0].rows_read, load.tables[0].rows_rejected) == (2, 1)
    assert rejected(warehouse, "raw_files") == [
        ("accounts", "accounts.csv", 7, "created_at", "31.13.25", "not a date", '{"id": "9"}')
    ]
    assert log(warehouse, "rows_read, rows_landed, rows_rejected", "raw_files") == [(2, 1, 1)]


# Deletions


def test_a_key_absent_from_a_full_extract_is_deleted_and_may_come_back(warehouse):
    arrive(warehouse, pipelines(("1", "A"), ("2", "B")))
    assert arrive(warehouse, pipelines(("1", "A"), at=day(1))).rows_deleted == 1
    assert arrive(warehouse, pipelines(("1", "A"), at=day(2))).rows_deleted == 0
    assert arrive(warehouse, pipelines(("1", "A"), ("2", "B"), ("2", "B"), at=day(3))).rows_landed == 1
    assert versions(warehouse, PIPELINES, "label") == [
        ("1", "A", 1, "", 0), ("2", "B", 1, "", 0), ("2", "B", 2, "d", 1), ("2", "B", 3, "", 3),
    ]  # fmt: skip


def test_a_changed_row_of_a_full_extract_is_not_deleted(warehouse):
    arrive(warehouse, pipelines(("1", "A"), ("2", "B")))
    report = arrive(warehouse, pipelines(("1", "A"), ("2", "C"), at=day(1)))
    assert (report.rows_landed, report.rows_deleted) == (1, 0)


def test_absence_from_other_extracts_says_nothing(warehouse):
    arrive(warehouse, campaigns(("1", "A"), ("2", "B")))
    assert arrive(warehouse, campaigns(("1", "A"), at=day(1))).rows_deleted == 0
    history = Given({PIPELINES.relation: values(("1", "A", DAY), columns='"id", "label", "_extracted_at"')}, None)
    arrive(warehouse, history)
    later = Given({PIPELINES.relation: values(("2", "B", day(1)), columns='"id", "label", "_extracted_at"')}, None)
    assert arrive(warehouse, later).rows_deleted == 0


@pytest.mark.parametrize("by", ["landing", "source"])
def test_an_unreadable_row_is_not_taken_for_a_deleted_one(warehouse, by):
    arrive(warehouse, pipelines(("1", "A"), ("2", "B")))
    if by == "source":
        row = Rejected("deal_pipeline", "pipelines.csv", 3, "displayOrder", "x", "not a number", "{}")
        source = pipelines(("1", "A"), at=day(1), refused=[row])
    else:
        rows = values(("1", None), ("2", "x"), columns='"id", "displayOrder"')
        source = Given({PIPELINES.relation: rows}, day(1))
    said: list[str] = []
    assert arrive(warehouse, source, say=said.append).rows_deleted == 0
    assert any("absent keys are not taken for deleted" in line for line in said)


# Verdicts


def test_a_load_waits_for_its_verdict(warehouse):
    both = Given(
        {CAMPAIGNS.relation: values(("1", "A")), PIPELINES.relation: values(("1", "A"), columns='"id", "label"')}
    )
    load = land(warehouse, both, lambda line: None)
    assert [(p.schema, p.load_id, p.origin, p.system) for p in pending(warehouse)] == [
        ("raw_hubspot", load.load_id, "given", "given"), ("raw_salesforce", load.load_id, "given", "given"),
    ]  # fmt: skip
    judge(warehouse, "raw_hubspot", load.load_id, True)
    judge(warehouse, "raw_salesforce", load.load_id, False, "half the rows are missing")
    assert not pending(warehouse)
    assert log(warehouse, "status, refused_reason") == [("refused", "half the rows are missing")]
    assert log(warehouse, "status, refused_reason", "raw_hubspot") == [("accepted", None)]


def test_a_repaired_input_never_meets_the_rows_of_a_refused_load(warehouse):
    arrive(warehouse, campaigns(("1", "A"), ("2", "B")))
    arrive(warehouse, campaigns(("1", "bad"), ("2", "B"), ("3", "bad"), at=day(1)), accepted=False)
    report = arrive(warehouse, campaigns(("1", "A"), ("2", "C"), ("3", "D"), at=day(1)))
    assert report.rows_landed == 2
    assert versions(warehouse) == [
        ("1", "A", 1, "", 0),
        ("2", "B", 1, "", 0),
        ("2", "C", 2, "", 1),
        ("3", "D", 1, "", 1),
    ]
    refused = warehouse.execute("select count(*) from raw_salesforce.campaign where \"Name\" = 'bad'").fetchone()
    assert refused == (2,), "they stay to be looked at"


def test_a_bad_row_that_repeats_after_a_refusal_is_landed_to_be_judged_again(warehouse):
    for number in range(2):
        assert arrive(warehouse, campaigns(("1", "bad"), at=day(number)), accepted=False).rows_landed == 1


def test_a_load_never_judged_is_taken_out_by_the_next(warehouse):
    arrive(warehouse, campaigns(("1", "A")))
    land(warehouse, campaigns(("1", "B"), ("2", "B"), at=day(1)), lambda line: None)
    assert arrive(warehouse, campaigns(("1", "C"), at=day(1))).rows_landed == 1
    assert versions(warehouse) == [("1", "A", 1, "", 0), ("1", "C", 2, "", 1)]
    assert warehouse.execute("select count(*) from raw_salesforce.campaign where _load_id = 2").fetchone() == (0,)
    assert log(warehouse, "status, refused_reason")[1] == ("refused", "taken out: its run ended before its verdict")


def test_the_newest_accepted_load_can_be_taken_back_and_no_older_one(warehouse):
    arrive(warehouse, campaigns(("1", "A")))
    arrive(warehouse, campaigns(("1", "B"), at=day(1)))
    with pytest.raises(ValueError, match="load 2 stands on it"):
        judge(warehouse, "raw_salesforce", 1, False, "wrong")
    judge(warehouse, "raw_salesforce", 2, False, "wrong")
    assert versions(warehouse) == [("1", "A", 1, "", 0)]
    assert arrive(warehouse, campaigns(("1", "C"), at=day(1))).rows_landed == 1
    assert versions(warehouse)[-1] == ("1", "C", 2, "", 1)


def test_a_verdict_that_cannot_be_is_refused(warehouse):
    arrive(warehouse, campaigns(("1", "A")), accepted=False)
    with pytest.raises(ValueError, match="refused already"):
        judge(warehouse, "raw_salesforce", 1, True)
    with pytest.raises(ValueError, match="has no load 9"):
        judge(warehouse, "raw_salesforce", 9, True)


def test_activating_sources_replaces_those_before(warehouse):
    activate(warehouse, [campaigns(origin="demo", system="demo"), campaigns(origin="files", system="acme")])
    activate(warehouse, [campaigns(origin="files", system="acme")])
    assert warehouse.execute("from ops.active_sources").fetchall() == [("files", "acme")]


# Corrections


def test_a_mended_mapping_corrects_without_movement(warehouse):
    arrive(warehouse, campaigns(("1", "a"), ("2", "b"), ("3", "c"), fingerprint="old"))
    arrive(warehouse, campaigns(("1", "a2"), ("2", "b"), ("3", "c"), at=day(1), fingerprint="old"))
    arrive(warehouse, campaigns(("1", "A2"), ("2", "B"), ("3", "c"), ("4", "D"), at=day(1), fingerprint="new"))
    assert versions(warehouse) == [
        ("1", "A2", 3, "c", 1), ("1", "a", 1, "", 0), ("1", "a2", 2, "", 1),
        ("2", "B", 2, "c", 0), ("2", "b", 1, "", 0),
        ("3", "c", 1, "", 0),
        ("4", "D", 1, "", 1),
    ]  # fmt: skip
    assert log(warehouse, "kind, fingerprint, extracted_at")[-1] == ("correction", "new", day(1))
    again = arrive(warehouse, campaigns(("1", "A2"), ("2", "B"), ("3", "c"), ("4", "D"), at=day(1), fingerprint="new"))
    assert (again.rows_landed, again.rows_deleted) == (0, 0)
    assert log(warehouse, "kind")[-1] == ("load",)


def test_a_mended_file_of_the_same_instant_corrects_too(warehouse):
    arrive(warehouse, campaigns(("1", "typo")))
    arrive(warehouse, campaigns(("1", "type")))
    assert versions(warehouse) == [("1", "type", 2, "c", 0), ("1", "typo", 1, "", 0)]


def test_rows_a_mended_mapping_leaves_out_are_withdrawn(warehouse):
    arrive(warehouse, campaigns(("1", "a"), ("2", "test deal"), fingerprint="old"))
    report = arrive(warehouse, campaigns(("1", "a"), fingerprint="new"))
    assert (report.rows_landed, report.rows_deleted) == (0, 1)
    assert versions(warehouse)[1:] == [("2", "test deal", 1, "", 0), ("2", "test deal", 2, "dc", 0)]
    arrive(warehouse, campaigns(("1", "a"), ("2", "test deal"), fingerprint="old"))
    assert versions(warehouse)[-1] == ("2", "test deal", 3, "c", 0)


def test_a_key_that_a_mended_mapping_renames_is_withdrawn_and_landed_anew(warehouse):
    arrive(warehouse, campaigns(("x1", "a"), fingerprint="old"))
    arrive(warehouse, campaigns(("1", "a"), fingerprint="new"))
    assert versions(warehouse) == [("1", "a", 1, "", 0), ("x1", "a", 1, "", 0), ("x1", "a", 2, "dc", 0)]


def test_a_table_that_a_mended_mapping_drops_is_withdrawn(warehouse):
    table = TABLES["raw_salesforce.lead"]
    both = {CAMPAIGNS.relation: values(("1", "a")), table.relation: values(("7", "Ann"))}
    arrive(warehouse, Given(both, fingerprint="old"))
    arrive(warehouse, campaigns(("1", "a"), fingerprint="new", more=(table,)))
    assert versions(warehouse, table)[-1] == ("7", "Ann", 2, "dc", 0)
    assert arrive(warehouse, campaigns(("1", "a"), at=day(1), fingerprint="new", more=(table,))).rows_landed == 0


def test_a_correction_withdraws_older_rows_if_the_last_export_was_whole(warehouse):
    arrive(warehouse, campaigns(("1", "a"), ("2", "b"), fingerprint="old"))
    arrive(warehouse, campaigns(("1", "a2"), ("2", "b"), at=day(1), fingerprint="old"))
    arrive(warehouse, campaigns(("1", "a2"), at=day(1), fingerprint="new"))
    assert versions(warehouse)[-1] == ("2", "b", 2, "dc", 0)


def test_a_correction_of_a_partial_export_leaves_alone_what_that_did_not_carry(warehouse):
    arrive(warehouse, campaigns(("1", "a"), ("2", "b"), fingerprint="old"))
    arrive(warehouse, campaigns(("3", "c"), ("4", "d"), ("5", "e"), at=day(1), fingerprint="old"))
    report = arrive(warehouse, campaigns(("3", "C"), ("5", "e"), at=day(1), fingerprint="new"))
    assert (report.rows_landed, report.rows_deleted) == (1, 1)
    assert [row for row in versions(warehouse) if row[3]] == [("3", "C", 2, "c", 1), ("4", "d", 2, "dc", 1)]


def test_a_mapping_changed_with_a_newer_export_is_an_ordinary_load(warehouse):
    arrive(warehouse, campaigns(("1", "a"), fingerprint="old"))
    arrive(warehouse, campaigns(("1", "A"), at=day(1), fingerprint="new"))
    assert versions(warehouse)[0] == ("1", "A", 2, "", 1)


def test_a_correction_after_a_refused_one_compares_with_what_was_accepted(warehouse):
    arrive(warehouse, campaigns(("1", "a"), fingerprint="old"))
    arrive(warehouse, campaigns(("1", "bad"), fingerprint="worse"), accepted=False)
    arrive(warehouse, campaigns(("1", "A"), fingerprint="new"))
    assert versions(warehouse) == [("1", "A", 2, "c", 0), ("1", "a", 1, "", 0)]


def test_an_export_older_than_the_last_is_refused_in_one_line(warehouse):
    arrive(warehouse, campaigns(("1", "a")))
    arrive(warehouse, campaigns(("1", "b"), at=day(2)))
    with pytest.raises(UserError, match="land extracts in the order they were taken") as error:
        land(warehouse, campaigns(("1", "c"), at=day(1), fingerprint="new"), lambda line: None)
    assert "\n" not in str(error.value) and len(log(warehouse, "load_id")) == 2


def test_a_single_export_that_a_mended_mapping_dates_earlier_is_replaced(warehouse):
    arrive(warehouse, campaigns(("1", "a"), ("2", "b"), at=day(365), fingerprint="as_of 2026"))
    arrive(warehouse, campaigns(("1", "a"), ("2", "b"), at=day(0), fingerprint="as_of 2025"))
    assert versions(warehouse) == [("1", "a", 1, "", 0), ("2", "b", 1, "", 0)]
    assert log(warehouse, "kind, status, refused_reason") == [
        ("load", "refused", "replaced by load 2"), ("replacement", "accepted", None),
    ]  # fmt: skip


def test_a_history_of_another_company_replaces_the_one_before_once_accepted(warehouse):
    arrive(warehouse, campaigns(("1", "a", day(0)), ("1", "b", day(1)), at=None, fingerprint="small"))
    large = campaigns(("1", "x", day(0)), ("2", "y", day(0)), at=None, fingerprint="large")
    load = land(warehouse, large, lambda line: None)
    assert log(warehouse, "status") == [("accepted",), ("landed",)]
    judge(warehouse, "raw_salesforce", load.load_id, True)
    assert versions(warehouse) == [("1", "x", 1, "", 0), ("2", "y", 1, "", 0)]
    judge(warehouse, "raw_salesforce", load.load_id, False, "taken back")
    assert versions(warehouse) == [("1", "a", 1, "", 0), ("1", "b", 2, "", 1)]


def test_a_replacement_that_is_refused_leaves_what_stood(warehouse):
    arrive(warehouse, campaigns(("1", "a", day(0)), at=None, fingerprint="small"))
    arrive(warehouse, campaigns(("1", "x", day(0)), at=None, fingerprint="large"), accepted=False)
    assert versions(warehouse) == [("1", "a", 1, "", 0)]


# Whole or not at all

LAND = """
import sys
sys.path.insert(0, "tests/sources")
from pathlib import Path
from test_landing import company
from dagster_project.sources.landing import land
from dagster_project.warehouse import connect
with connect(sys.argv[1]) as connection:
    print("landing", flush=True)
    land(connection, company(), say=lambda line: None)
"""


def company(rows: int = 100_000) -> Given:
    """A source of three tables in two schemas, one of them with versions."""
    task, deals = TABLES["raw_salesforce.task"], TABLES["raw_hubspot.deal"]
    at = f"timestamp '{DAY}' + to_days((range % 7)::integer) as _extracted_at"
    return Given(
        {
            CAMPAIGNS.relation: f'select range::varchar as "Id", \'x\' as "Name", {at} from range({rows // 10})',
            task.relation: f'select range::varchar as "Id", hash(range)::varchar as "Subject", {at} from range({rows})',
            deals.relation: f"select (range // 7)::varchar as id, hash(range) as dealname, {at} from range({rows})",
        },
        at=None,
    )


def contents(path) -> dict[str, tuple]:
    """Of every raw table.relation: rows, and a sum over all columns but those that say when and by which load."""
    with connect(path) as connection:
        found = {}
        for relation in [table.relation for table in company().tables()]:
            found[relation] = connection.execute(
                f"""
                select count(*), sum(hash(landed))::varchar
                from (select * exclude (_load_id, _loaded_at) from {relation}) as landed
                """
            ).fetchone()
        for schema in ("raw_salesforce", "raw_hubspot"):
            columns = "table_name, kind, first_extracted_at, extracted_at, status, rows_read, rows_landed"
            found[schema] = tuple(row for row in log(connection, columns, schema) if "refused" not in row)
        return found


def test_a_killed_landing_leaves_nothing_and_the_next_lands_all(tmp_path):
    def prepared(name: str):
        path = tmp_path / name
        with connect(path) as connection:
            prepare(connection)
        return path

    whole = prepared("whole.duckdb")
    nothing = contents(whole)
    with connect(whole) as connection:
        started = time.monotonic()
        land(connection, company(), lambda line: None)
        seconds = time.monotonic() - started
    expected = contents(whole)
    assert nothing != expected

    path = prepared("killed.duckdb")
    chance = random.Random(7)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", LAND, str(path)], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "landing\n"
        time.sleep(chance.uniform(0, seconds))
        process.kill()
        process.communicate()
        assert contents(path) in (nothing, expected)
    with connect(path) as connection:
        land(connection, company(), lambda line: None)
    assert contents(path) == expected


# Erasing a person


def test_personal_columns_are_those_of_the_shapes():
    for relation, (address, columns) in PERSONAL.items():
        assert {address, *columns} <= TABLES[relation].columns.keys()
    addresses = {
        (table.relation, name)
        for table in ALL_TABLES
        for name in table.columns
        if name.lower() in {"email", "emailaddress"}
    }
    assert addresses == {(relation, address) for relation, (address, _) in PERSONAL.items()}


def test_a_person_is_erased_everywhere_and_nothing_else_changes(warehouse):
    columns = '"Id", "Name", "Email"'
    people = Given(
        {
            "raw_salesforce.user": values(
                ("u1", "Ann Berg", "Ann.Berg@x.com"), ("u2", "Ann Bergman", "bergman@x.com"), columns=columns
            ),
            "raw_salesforce.contact": values(("c1", "Ann Berg", "other.ann@y.com"), columns=columns),
            "raw_gong.user": values(
                ("g1", "Ann", "Berg", "ann.berg@x.com"), columns='"id", "firstName", "lastName", "emailAddress"'
            ),
            "raw_salesforce.task": values(
                ("t1", "Call with Ann Berg, ann.berg@x.com"), ("t2", "Call Ann Bergman"), columns='"Id", "Subject"'
            ),
        },
        refused=[Rejected("user", "users.csv", 3, "hire_date", "x", "not a date", '{"mail": "ANN.BERG@x.com"}')],
    )
    arrive(warehouse, people)
    warehouse.execute("insert into forecast.gate_failing_rows (run_id, row_text) values ('r', 'owner ann.berg@x.com')")
    erased = erase_person(warehouse, " ann.berg@X.com ")
    assert sum(erased.rows.values()) == 5 and "1 of raw_gong.user" in str(erased)

    users = warehouse.execute('select "Id", "Name", "Email" from raw_salesforce.user order by 1').fetchall()
    [(_, name, stand_in), other] = users
    assert name == "Erased" and stand_in.endswith("@erased.invalid") and other == ("u2", "Ann Bergman", "bergman@x.com")
    gong = warehouse.execute('select "emailAddress", "firstName", "lastName" from raw_gong.user').fetchall()
    assert gong == [(stand_in, "Erased", "Erased")], "still one person in both systems"
    subjects = warehouse.execute('select "Subject" from raw_salesforce.task order by "Id"').fetchall()
    assert subjects == [(f"Call with {stand_in}, {stand_in}",), ("Call Ann Bergman",)]
    assert warehouse.execute('select "Name" from raw_salesforce.contact').fetchall() == [("Ann Berg",)], "a namesake"
    for (relation,) in warehouse.execute("select schema_name || '.' || table_name from duckdb_tables()").fetchall():
        left = warehouse.execute(f"select count(*) from {relation} t where to_json(t)::varchar ilike '%ann.berg@%'")
        assert left.fetchone() == (0,), relation


def test_an_unchanged_record_does_not_bring_an_erased_person_back(warehouse):
    leads = TABLES["raw_salesforce.lead"]
    rows = values(("1", "Ann Berg", "ann@x.com"), columns='"Id", "Name", "Email"')
    arrive(warehouse, Given({leads.relation: rows}))
    erase_person(warehouse, "ann@x.com")
    assert arrive(warehouse, Given({leads.relation: rows}, day(1))).rows_landed == 0
    assert versions(warehouse, leads) == [("1", "Erased", 1, "", 0)]


def test_an_address_that_no_row_has_is_told_and_changes_nothing(warehouse):
    with pytest.raises(UserError, match=r"no raw row has the e-mail 'nobody@x\.com'"):
        erase_person(warehouse, "nobody@x.com")


# Sources that go on where they stopped


@dataclass
class Resumed(Given):
    """A source that notes what it is told, and hands over a cursor."""

    cursor: str = "here"
    told: list[Progress] = field(default_factory=list)

    def resume(self, progress: Progress, say) -> None:
        self.told.append(progress)

    def extracts(self) -> Iterable[Extract]:
        for extract in super().extracts():
            yield replace(extract, cursor=self.cursor)


def resumed(number: int, **more) -> Resumed:
    return Resumed({CAMPAIGNS.relation: values((str(number), "Fair"))}, day(number), **more)


def test_a_cursor_counts_once_its_load_is_accepted(warehouse):
    first, refused, died, last = (resumed(number, cursor=f"at {number}") for number in range(4))
    arrive(warehouse, first)
    arrive(warehouse, refused, accepted=False)
    land(warehouse, died, say=lambda line: None)
    arrive(warehouse, last)
    assert first.told == [Progress({})]
    accepted = {CAMPAIGNS.relation: "at 0"}
    assert refused.told == [Progress(accepted, day(0), judged=1)]
    assert died.told == [Progress(accepted, day(0), judged=2)]  # the refused one was judged, too
    assert last.told == [Progress(accepted, day(0), judged=2)]  # the one that died was not
    assert log(warehouse, "cursor") == [("at 0",), ("at 1",), ("at 2",), ("at 3",)]


def test_a_source_that_reads_everything_is_told_nothing(warehouse):
    arrive(warehouse, campaigns(("1", "Fair")))
    assert log(warehouse, "cursor") == [(None,)]


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        (Resumed, ("3GB", 16), "381.4 MiB, 2 threads"),
        (Resumed, ("200MB", 1), "190.7 MiB, 1 threads"),
        (Given, ("3GB", 16), "2.7 GiB, 16 threads"),
    ],
)
def test_however_long_a_pull_is_it_lands_in_little_memory(warehouse, kind, given, kept):
    memory, threads = given
    warehouse.execute(f"set memory_limit = '{memory}'; set threads = {threads}")
    told = "concat(current_setting('memory_limit'), ', ', current_setting('threads'), ' threads')"
    arrive(warehouse, kind({CAMPAIGNS.relation: f"""select '1' as "Id", {told} as "Name" """}))
    assert versions(warehouse) == [("1", kept, 1, "", 0)]
