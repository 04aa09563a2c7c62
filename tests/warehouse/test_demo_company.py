"""The demo company's planted traps, by their id in `sources/demo/defects.py`: each is read as the metric contract says."""

from __future__ import annotations

import pandas as pd
import pytest

from dagster_project.sources.demo.truth import Truth
from dagster_project.sources.registry import open_sources
from tests.warehouse.company import Company

MOVEMENTS = [
    *("created", "reopened", "restored", "pulled_in", "pulled_out", "pushed_out", "pushed_in", "reassigned_in"),
    *("reassigned_out", "increased", "decreased", "currency", "won", "lost", "deleted", "merged", "withdrawn"),
]


@pytest.fixture(scope="module")
def planted(demo_company) -> pd.DataFrame:
    [source] = open_sources(demo_company.settings)
    defects = Truth(source.folder).defects()
    is_hubspot_deal = (defects["source_system"] == "hubspot") & defects["record_id"].str.isdigit()
    return defects.assign(
        opportunity_id=defects["record_id"].where(~is_hubspot_deal, "hubspot-" + defects["record_id"])
    )


def _ids(planted: pd.DataFrame, defect: str) -> list[str]:
    ids = sorted(set(planted[planted["defect_id"] == defect]["opportunity_id"]))
    assert ids, f"the demo plants no {defect}"
    return ids


def _with(company: Company, ids: list[str], condition: str, table: str = "core.fct_opportunities") -> set[str]:
    return {
        row[0]
        for row in company.query(
            f"select distinct opportunity_id from {table} where list_contains(?, opportunity_id) and ({condition})", ids
        )
    }


@pytest.mark.parametrize("movement", MOVEMENTS)
def test_every_movement_happens_somewhere(demo_company, movement):
    levels = demo_company.query(
        f"select level from leading_indicators.weekly_pipeline_waterfall group by level having sum(abs({movement}_amount)) > 0"
    )
    # a hand-over never crosses the company's border
    assert (("company",) in levels) != movement.startswith("reassigned") and ("rep",) in levels


def test_unscheduled_deals_have_a_bucket_t16(demo_company, planted):
    ids = _ids(planted, "T16")
    open_ids = _with(demo_company, ids, "is_in_pipeline and close_date is null")
    assert open_ids and open_ids == _with(
        demo_company, sorted(open_ids), "target_fiscal_quarter = 'unscheduled'", "core.fct_pipeline_movements"
    )


def test_late_history_is_restated_t01(demo_company, planted):
    ids = _ids(planted, "T01")
    assert _with(demo_company, ids, "true", "core.restatements") == set(ids)
    assert demo_company.one("select count(*) from core.restatements where learned_at <= valid_from_at") == 0


def test_merged_deals_leave_and_chains_end_at_the_survivor_t02_t17(demo_company, planted):
    merged = _ids(planted, "T17")
    assert _with(demo_company, merged, "merged_into_id is not null and not is_in_pipeline") == set(merged)
    chained = demo_company.query(
        "select o.opportunity_id from core.fct_opportunities as o inner join core.fct_opportunities as s on o.merged_into_id = s.opportunity_id "
        "where s.merged_into_id is not null"
    )
    assert chained == []
    assert set(_ids(planted, "T02")) <= _with(demo_company, _ids(planted, "T02"), "merged_into_id is not null")


def test_deleted_and_restored_deals_stay_in_the_past_t03_t08(demo_company, planted):
    restored = _ids(planted, "T03")
    assert _with(demo_company, restored, "is_deleted", "core.fct_opportunity_states") == set(restored)
    assert _with(demo_company, restored, "is_deleted") == set()
    archived = _ids(planted, "T08")
    assert _with(demo_company, archived, "is_deleted or merged_into_id is not null") == set(archived)


def test_a_renamed_and_a_moved_stage_are_one_stage_t04_t05(demo_company, planted):
    for defect in ("T04", "T05"):
        [stage] = planted[planted["defect_id"] == defect]["record_id"]
        periods = demo_company.query("select stage_label, stage_order from core.dim_stages where stage = ?", stage)
        assert len(periods) >= 2
    renamed_on = planted[planted["defect_id"] == "T04"]["day"].iloc[0]
    stays = "select count(*) from core.fct_stage_stays where stage = 'Discovery' and cast(entered_at as date) = ? and not is_first_entry"
    assert demo_company.one(stays, renamed_on) == 0


def test_a_rehire_is_one_person_with_two_spells_t06(demo_company, planted):
    [user] = planted[planted["defect_id"] == "T06"]["record_id"]
    [(rep,)] = demo_company.query("select rep_id from intermediate.int_users_matched where source_user_id = ?", user)
    assert demo_company.one("select count(distinct spell_number) from core.dim_reps where rep_id = ?", rep) == 2


def test_test_deals_are_in_no_number_t07(demo_company, planted):
    ids = _ids(planted, "T07")
    assert _with(demo_company, ids, "is_excluded") == set(ids)
    assert _with(demo_company, ids, "true", "core.fct_pipeline_movements") == set()


def test_a_synced_deal_counts_once_with_salesforce_leading_t09(demo_company, planted):
    ids = _ids(planted, "T09")
    assert _with(demo_company, ids, "source_system = 'salesforce'") == set(ids)
    hubspot_side = demo_company.one(
        "select count(*) from intermediate.int_opportunities_matched as m inner join core.fct_opportunities as o "
        "on 'hubspot-' || m.source_opportunity_id = o.opportunity_id where m.source_system = 'hubspot' and m.opportunity_id <> o.opportunity_id"
    )
    assert hubspot_side == 0


def test_a_changed_currency_is_a_currency_event_t10(demo_company, planted):
    ids = _ids(planted, "T10")
    assert _with(demo_company, ids, "movement = 'currency'", "core.fct_pipeline_movements") == set(ids)


def test_a_deal_of_one_day_shows_both_ends_t12(demo_company, planted):
    """Those that passed a pipeline stage on their one day: entry and exit, both on it."""
    ids = _ids(planted, "T12")
    entered = _with(demo_company, ids, "movement = 'created'", "core.fct_pipeline_movements")
    left = _with(demo_company, ids, "movement in ('won', 'lost')", "core.fct_pipeline_movements")
    assert entered and entered == left


def test_wins_that_never_were_pipeline_are_reconciled_t13(demo_company, planted):
    ids = _ids(planted, "T13")
    assert _with(demo_company, ids, "true", "core.fct_pipeline_movements") == set()
    won = _with(demo_company, ids, "won_amount_base > 0")
    assert (
        won
        and _with(demo_company, ids, "reason = 'never in pipeline'", "leading_indicators.won_amount_reconciliation")
        == won
    )


def test_amounts_edited_after_close_are_reconciled_h16(demo_company, planted):
    ids = _ids(planted, "H16")
    listed = _with(demo_company, ids, "reason = 'edited after close'", "leading_indicators.won_amount_reconciliation")
    same_quarter = {
        row[0]
        for row in demo_company.query(
            "select opportunity_id from core.fct_opportunities where list_contains(?, opportunity_id) and opportunity_id in "
            "(select opportunity_id from core.fct_opportunity_states where outcome = 'won' group by 1 having count(distinct amount) > 1)",
            ids,
        )
    }
    assert listed and listed <= same_quarter == set(ids)


def test_flags_beat_the_label_h07(demo_company, planted):
    ids = _ids(planted, "H07")
    contradicted = demo_company.query(
        "select o.opportunity_id from core.fct_opportunities as o inner join core.dim_stages as s "
        "on o.pipeline = s.pipeline and o.stage = s.stage and s.is_current where list_contains(?, o.opportunity_id) and o.outcome <> s.outcome",
        ids,
    )
    assert {row[0] for row in contradicted} == set(ids)


def test_a_backdated_close_does_not_move_the_booking_h17(demo_company, planted):
    ids = _ids(planted, "H17")
    assert _with(demo_company, ids, "close_date < booking_date") == set(ids)
    later = demo_company.query(
        "select count(distinct booking_date) from core.fct_opportunity_states where list_contains(?, opportunity_id) and outcome = 'won' "
        "group by opportunity_id",
        ids,
    )
    assert {count for (count,) in later} == {1}


def test_missing_amounts_count_zero_and_stay_h04(demo_company, planted):
    ids = _ids(planted, "H04")
    assert _with(demo_company, ids, "amount is null and amount_base = 0") == set(ids)


def test_reopened_deals_leave_and_come_back_t14(demo_company, planted):
    ids = _ids(planted, "T14")
    reopened = _with(demo_company, ids, "was_reopened")
    assert reopened == set(ids)
    assert _with(demo_company, ids, "movement = 'reopened'", "core.fct_pipeline_movements")


def test_withdrawn_deals_leave_pipeline_t15(demo_company, planted):
    ids = _ids(planted, "T15")
    assert _with(demo_company, ids, "movement = 'withdrawn'", "core.fct_pipeline_movements")


def test_two_companies_do_not_double_a_deal_t18(demo_company, planted):
    ids = _ids(planted, "T18")
    assert demo_company.one(
        "select count(*) from core.fct_opportunities where list_contains(?, opportunity_id)", ids
    ) == len(ids)


def test_a_leave_is_no_departure_t19(demo_company, planted):
    for user in planted[planted["defect_id"] == "T19"]["record_id"]:
        [(rep,)] = demo_company.query(
            "select rep_id from intermediate.int_users_matched where source_user_id = ?", user
        )
        statuses = demo_company.query(
            "select status, spell_number from core.dim_reps where rep_id = ? order by valid_from_date", rep
        )
        on_leave = [spell for status, spell in statuses if status == "leave"]
        assert on_leave and all(("active", spell) in statuses for spell in on_leave)


def test_a_rep_who_changes_team_hands_over_at_team_level_only_t20(demo_company, planted):
    for _, defect in planted[planted["defect_id"] == "T20"].iterrows():
        moved = demo_company.query(
            "select count(*), count(*) filter (where crosses_rep), count(*) filter (where crosses_team) from core.fct_pipeline_movements as m "
            "inner join intermediate.int_users_matched as u on m.rep_id = u.rep_id "
            "where u.source_user_id = ? and movement_date = ? and movement like 'reassigned%'",
            defect["record_id"],
            defect["day"],
        )
        [(rows, crossing_rep, crossing_team)] = moved
        assert rows == crossing_team and crossing_rep == 0


def test_activities_logged_twice_count_once(demo_company):
    """A pair's second record goes. Where by chance two pairs lie within the same minutes, a record absorbs one of each
    system and may take the neighbour's: fewer than one in five hundred."""
    [source] = open_sources(demo_company.settings)
    pairs = Truth(source.folder).table("same_activities")
    counted = {row[0] for row in demo_company.query("select activity_id from core.fct_activities")}
    absorbed = {row[0] for row in demo_company.query("select activity_id from intermediate.int_activities_matched")}
    assert pairs["other_activity_id"].isin(counted).sum() < len(pairs) / 500
    gone = pairs["activity_id"][~pairs["activity_id"].isin(counted)]
    assert len(gone) < len(pairs) / 500 and gone.isin(absorbed).all()
