"""The demo company: same bytes for the same seed, raw shapes as declared, a consistent history, known truth."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from dagster_project.settings import UserError
from dagster_project.sources.demo import NOT_USED, DemoSource
from dagster_project.sources.demo.clock import DAY, continuous, working
from dagster_project.sources.demo.defects import FAULTS, KINDS
from dagster_project.sources.demo.progress import (
    NEGOTIATION,
    draw_days,
    reach_chance,
    share_within,
    wait_for_quarter_end,
)
from dagster_project.sources.demo.tracks import NONE, Track, daily, stamps
from dagster_project.sources.demo.truth import Truth

AS_OF = "timestamp '2025-11-16 23:59:59'"
PLANNED = {"closedate", "hs_timestamp"}  # may lie ahead: a planned close, a due date


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="session", params=["tiny", "default"])
def company(request, cache):
    """A connection with a view `<source>_<table>` on every raw table, and the source."""
    source = DemoSource(request.param, 42, cache)
    connection = duckdb.connect()
    for extract in source.extracts():
        connection.execute(f"create view {extract.table.source}_{extract.table.name} as {extract.rows}")
    return connection, source


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.parquet"))
    }


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path):
    script = (
        "import sys; from dagster_project.sources.demo import DemoSource; DemoSource('tiny', 7, sys.argv[1]).prepare()"
    )
    folders = []
    for name, salt in (("a", "1"), ("b", "2")):
        environment = {**os.environ, "PYTHONHASHSEED": salt}
        subprocess.run([sys.executable, "-c", script, str(tmp_path / name)], check=True, env=environment)
        folders.append(DemoSource("tiny", 7, tmp_path / name).folder)
    assert digests(folders[0]) == digests(folders[1])


def test_another_seed_gives_another_company(tmp_path):
    first, second = (DemoSource("tiny", seed, tmp_path).prepare() for seed in (1, 2))
    name = "raw_salesforce.opportunity.parquet"
    assert digests(first)[name] != digests(second)[name]


def test_a_killed_run_leaves_no_company_and_the_next_one_makes_it(tmp_path):
    source = DemoSource("tiny", 3, tmp_path)
    leftover = tmp_path / f".{source.folder.name}.1"
    leftover.mkdir()
    (leftover / "raw_gong.call.parquet").write_bytes(b"half")
    assert source.prepare() == source.folder
    assert len(digests(source.folder)) > len(source.tables())


def test_raw_columns_have_the_declared_names_and_types(company):
    connection, source = company
    for table in source.tables():
        described = connection.execute(f"describe {table.source}_{table.name}").fetchall()
        assert {row[0]: row[1] for row in described} == {**table.columns, "_extracted_at": "TIMESTAMP"}, table.relation


def test_no_raw_table_is_empty(company):
    connection, source = company
    for table in source.tables():
        if table.relation in NOT_USED:
            continue
        assert connection.execute(f"select count(*) from {table.source}_{table.name}").fetchone()[0] > 0, table.relation


def test_a_record_has_one_version_a_day_at_most_and_a_whole_key(company):
    connection, source = company
    for table in source.tables():
        key = ", ".join(f'"{column}"' for column in table.key)
        missing = " or ".join(f'"{column}" is null' for column in table.key)
        twice, keyless, odd = connection.execute(
            f"""select count(*) - count(distinct ({key}, _extracted_at)), count(*) filter (where {missing}),
                count(*) filter (where strftime(_extracted_at, '%H:%M:%S') <> '23:59:59' or _extracted_at > {AS_OF})
                from {table.source}_{table.name}"""
        ).fetchone()
        assert (twice, keyless, odd) == (0, 0, 0), table.relation


def test_nothing_is_known_before_it_happened_or_after_the_as_of_instant(company):
    connection, source = company
    for table in source.tables():
        for column, kind in table.columns.items():
            if kind == "TIMESTAMP" and column not in PLANNED and (table.name, column) != ("event", "EndDateTime"):
                ahead = "_extracted_at + interval '1' hour"
                if (table.name, column) in {("event", "StartDateTime"), ("engagement_meeting", "hs_meeting_start_time"),
                                            ("engagement_meeting", "hs_meeting_end_time")}:  # fmt: skip
                    ahead = f"{AS_OF} + interval '1' hour"
                late = connection.execute(
                    f'select count(*) from {table.source}_{table.name} where "{column}" > {ahead}'
                ).fetchone()[0]
                assert late == 0, (table.relation, column)


def test_versions_follow_their_modified_date(company):
    connection, _ = company
    for table, key, modified in (
        ("salesforce_opportunity", "Id", "LastModifiedDate"),
        ("hubspot_deal", "id", "hs_lastmodifieddate"),
    ):
        backwards = connection.execute(
            f"""select count(*) from (
                select {modified} as now, lag({modified}) over (partition by {key} order by _extracted_at) as before
                from {table}) as versions where now < before"""
        ).fetchone()[0]
        assert backwards == 0, table


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ("salesforce_opportunity.AccountId", "salesforce_account.Id"),
        ("salesforce_opportunity.OwnerId", "salesforce_user.Id"),
        ("salesforce_opportunity.CampaignId", "salesforce_campaign.Id"),
        ("salesforce_opportunity.MergedIntoId__c", "salesforce_opportunity.Id"),
        ("salesforce_opportunity_history.OpportunityId", "salesforce_opportunity.Id"),
        ("salesforce_opportunity_field_history.OpportunityId", "salesforce_opportunity.Id"),
        ("salesforce_opportunity_contact_role.ContactId", "salesforce_contact.Id"),
        ("salesforce_account.OwnerId", "salesforce_user.Id"),
        ("salesforce_account.ParentId", "salesforce_account.Id"),
        ("salesforce_contact.AccountId", "salesforce_account.Id"),
        ("salesforce_user.ManagerId", "salesforce_user.Id"),
        ("salesforce_lead.OwnerId", "salesforce_user.Id"),
        ("salesforce_lead.ConvertedOpportunityId", "salesforce_opportunity.Id"),
        ("salesforce_lead.CampaignId__c", "salesforce_campaign.Id"),
        ("salesforce_task.WhatId", "salesforce_opportunity.Id"),
        ("salesforce_task.WhoId", "salesforce_contact.Id"),
        ("salesforce_event.AccountId", "salesforce_account.Id"),
        ("salesforce_event.OwnerId", "salesforce_user.Id"),
        ("salesforce_forecasting_quota.QuotaOwnerId", "salesforce_user.Id"),
        ("salesforce_forecasting_item.OwnerId", "salesforce_user.Id"),
        ("hubspot_deal.hubspot_owner_id", "hubspot_owner.id"),
        ("hubspot_deal.salesforce_opportunity_id", "salesforce_opportunity.Id"),
        ("hubspot_deal_property_history.deal_id", "hubspot_deal.id"),
        ("hubspot_deal_company.company_id", "hubspot_company.id"),
        ("hubspot_deal_contact.contact_id", "hubspot_contact.id"),
        ("hubspot_merged_deal.deal_id", "hubspot_deal.id"),
        ("hubspot_engagement_call.deal_id", "hubspot_deal.id"),
        ("hubspot_engagement_meeting.hubspot_owner_id", "hubspot_owner.id"),
        ("gong_call.primaryUserId", "gong_user.id"),
        ("gong_call_party.call_id", "gong_call.id"),
        ("gong_call_context.call_id", "gong_call.id"),
    ],
)
def test_every_reference_finds_its_record(company, child, parent):
    connection, _ = company
    table, column = child.split(".")
    other, key = parent.split(".")
    orphans = connection.execute(
        f'select count(*) from {table} where "{column}" is not null and "{column}" not in (select "{key}" from {other})'
    ).fetchone()[0]
    assert orphans == 0


def test_people_are_the_same_in_all_systems_by_email(company):
    connection, _ = company
    for table, email in (("hubspot_owner", "email"), ("gong_user", "emailAddress")):
        strangers = connection.execute(
            f"select count(*) from {table} where lower({email}) not in (select Email from salesforce_user)"
        ).fetchone()[0]
        assert strangers == 0


def test_every_amount_has_a_plan_and_a_dated_rate(company):
    connection, _ = company
    missing = connection.execute(
        """select count(*) from (select CurrencyIsoCode as code, CreatedDate as at from salesforce_opportunity
           union all select deal_currency_code, createdate from hubspot_deal) as deals
           where code not in (select IsoCode from salesforce_currency_type)
              or not exists (select 1 from salesforce_dated_conversion_rate r
                             where r.IsoCode = deals.code and r.StartDate <= deals.at)"""
    ).fetchone()[0]
    assert missing == 0


def test_the_excluded_test_deals_exist_under_their_fixed_ids(company):
    connection, _ = company
    found = connection.execute(
        "select count(distinct Id) from salesforce_opportunity where Id like '006DEMOTEST%'"
    ).fetchone()[0]
    assert found == 4


def test_every_kind_of_defect_is_planted_in_the_default_company(cache):
    truth = Truth(DemoSource("default", 42, cache).prepare())
    assert set(truth.defects().defect_id) == {kind.id for kind in KINDS} - set(FAULTS.values())
    assert truth.defects().notna().all().all()


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_is_planted_only_where_asked_for(cache, fault):
    truth = Truth(DemoSource("tiny", 42, cache, faults=(fault,)).prepare())
    assert (truth.defects().defect_id == FAULTS[fault]).sum() == 1


def test_an_unknown_size_or_fault_is_named(tmp_path):
    with pytest.raises(UserError, match="unknown demo size 'enormous'"):
        DemoSource("enormous", 1, tmp_path)
    with pytest.raises(UserError, match="unknown demo fault 'fire'"):
        DemoSource("tiny", 1, tmp_path, faults=("fire",))


def test_true_stage_chances_are_what_happened(cache):
    """Over some 1,000 deals a stage, the shares that reached a later one lie within four standard errors."""
    progress = Truth(DemoSource("default", 42, cache).prepare()).stage_progress()
    days = (progress.outcome_at - progress.entered_at).dt.total_seconds() / DAY
    for name, within in (("p_by_30", 30), ("p_by_60", 60), ("p_by_90", 90), ("p_reach_later_ever", 10_000)):
        progress["happened"] = (progress.outcome == "reached") & (days <= within)
        for key, part in progress.groupby(["source_system", "stage"]):
            error = np.sqrt((part[name] * (1 - part[name])).sum()) / len(part)
            assert abs(part.happened.mean() - part[name].mean()) < 4 * error, (name, key)


def test_true_ramp_rises_by_tenure_and_leavers_compete(cache):
    curve = Truth(DemoSource("tiny", 42, cache).prepare()).true_ramp_curve(24)
    everyone = curve[curve.segment == "all"].set_index("tenure_month")
    assert everyone.p_ramped.is_monotonic_increasing and everyone.p_ramped[2] == 0
    assert 0.25 < everyone.p_ramped[6] < 0.5 < everyone.p_ramped[9] < 0.85
    assert (everyone.p_ramped + everyone.p_left_before <= 1).all()


def test_every_truth_table_can_be_read(cache):
    truth = Truth(DemoSource("default", 42, cache).prepare())
    for name in ("stage_progress", "deals", "reps", "retention", "defects", "defect_kinds", "same_activities"):
        assert len(truth.table(name)) > 0, name
    assert set(truth.reps().tendency) == {"honest", "sandbagger", "happy_ears"}
    assert truth.retention().survival.is_monotonic_decreasing


def test_working_time_keeps_order_and_lies_within_working_hours():
    instant = np.sort(np.random.default_rng(0).uniform(1.6e9, 1.7e9, 5_000))
    mapped = working(instant)
    assert (np.diff(mapped) >= 0).all()
    assert (
        ((mapped // DAY + 3) % 7 < 5).all() and (mapped % DAY // 3600 >= 7).all() and (mapped % DAY // 3600 <= 19).all()
    )
    assert np.abs(working(continuous(mapped)) - mapped).max() <= 1


def test_reach_chance_agrees_with_drawing_it():
    rng = np.random.default_rng(5)
    n = 60_000
    segment, stage = rng.integers(0, 3, n), np.full(n, NEGOTIATION)
    entered = rng.uniform(19_000, 19_365, n) * DAY
    left = wait_for_quarter_end(rng, entered + draw_days(rng, segment, stage, np.ones(n, dtype=bool)) * DAY)
    for days in (15, 30, 60):
        true = reach_chance(days, entered, stage, segment, np.ones(n))
        assert abs((left - entered <= days * DAY).mean() - true.mean()) < 0.006
    assert share_within(1e6, segment, stage).min() == pytest.approx(1)


def test_a_track_gives_the_value_that_held():
    track = Track([0, 1, 0, 0], [10, 5, 20, 30], [7, 1, 7, 9])
    assert len(track) == 3  # an equal value is no change
    assert track.value_at([0, 0, 0, 1, 2], [9, 10, 30, 99, 5]).tolist() == [NONE, 7, 9, 1, NONE]
    assert track.before().tolist() == [NONE, 7, NONE]
    record, at = daily(*stamps(track.plus([0], [40], [8])))
    assert (record.tolist(), at.tolist()) == ([0, 1], [40, 5])
