"""Activity marts of the demo company against the same numbers worked out another way, and against what was planted."""

from __future__ import annotations

import pandas as pd
import pytest

from dagster_project.sources.demo.truth import Truth
from dagster_project.sources.registry import open_sources

EFFORT = "a.is_completed and a.type in ('call', 'meeting', 'demo', 'email')"
LEVEL_IDS = {"company": "'all'", "segment": "r.segment", "team": "r.team", "rep": "a.rep_id"}


@pytest.mark.parametrize("level", LEVEL_IDS)
def test_weekly_activity_counts_what_is_there(demo_company, level):
    """Distinct accounts and open deals are put together from parts in the mart; here they are counted outright."""
    counted = f"""
        select
            coalesce({LEVEL_IDS[level]}, 'unassigned') as level_id, a.week_start_date, a.type as activity_type,
            count(distinct a.activity_id) as completed_count, count(distinct a.account_id) as account_count,
            count(distinct o.opportunity_id) as open_deal_count
        from core.fct_activities as a
        left join intermediate.int_rep_attributes as r
            on a.rep_id = r.rep_id and a.activity_date >= r.valid_from_date
            and a.activity_date < coalesce(r.valid_to_date, date '9999-12-31')
        left join core.fct_opportunity_states as o
            on a.opportunity_id = o.opportunity_id
            and o.outcome = 'open' and not o.is_deleted and o.merged_into_id is null and not o.is_excluded
            and a.activity_date >= cast(o.valid_from_at as date)
            and a.activity_date <= coalesce(cast(o.valid_to_at as date), date '9999-12-31')
        where {EFFORT}
        group by all
    """
    published = f"""
        select level_id, week_start_date, activity_type, completed_count, account_count, open_deal_count
        from leading_indicators.weekly_activity
        where level = '{level}' and completed_count > 0
    """
    assert demo_company.query(f"({counted}) except ({published})") == []
    assert demo_company.query(f"({published}) except ({counted})") == []


def test_an_idle_week_is_a_row_and_a_leave_has_no_days(demo_company):
    idle = demo_company.one(
        "select count(*) from leading_indicators.weekly_activity where level = 'rep' and completed_count = 0 and working_day_count > 0"
    )
    assert idle > 0
    on_leave = demo_company.one(
        "select count(*) from core.dim_reps as r inner join leading_indicators.weekly_activity as w "
        "on w.level = 'rep' and w.level_id = r.rep_id and w.week_start_date >= r.valid_from_date "
        "and w.week_start_date + 7 <= r.valid_to_date where r.status <> 'active' and w.working_day_count > 0"
    )
    assert on_leave == 0


def test_progress_is_what_followed_within_thirty_days(demo_company):
    """Every activity on an open deal against every movement of the deal, without the mart's intervals."""
    outright = f"""
        with steps as (
            select opportunity_id, movement_date as step_date from core.fct_pipeline_movements where movement = 'created'
            union select opportunity_id, cast(exited_at as date) from core.fct_stage_stays where exit_to = 'advanced'
            union select opportunity_id, booking_date from core.fct_bookings
        ),
        followed as (
            select a.rep_id, d.quarter_start_date, a.activity_id, a.opportunity_id, count(s.step_date) > 0 as is_followed
            from core.fct_activities as a
            inner join core.dim_dates as d on a.activity_date = d.date_day
            inner join core.fct_open_periods as o on a.opportunity_id = o.opportunity_id
                and a.activity_date between o.open_from_date and coalesce(o.open_to_date, a.activity_date)
            left join steps as s on a.opportunity_id = s.opportunity_id
                and s.step_date between a.activity_date and a.activity_date + 30
            where {EFFORT} and a.activity_date + 30 <= (select as_of_date from intermediate.int_as_of)
            group by all
        )
        select rep_id, quarter_start_date, count(*), count_if(is_followed), count(distinct opportunity_id),
            count(distinct opportunity_id) filter (where is_followed)
        from followed group by all
    """
    published = """
        select rep_id, quarter_start_date, observed_activity_count, followed_activity_count, worked_deal_count, moved_deal_count
        from leading_indicators.activity_progress where observed_activity_count > 0
    """
    assert demo_company.query(f"({outright}) except ({published})") == []
    assert demo_company.query(f"({published}) except ({outright})") == []


def test_activity_that_moves_little_is_named_by_its_rule_alone(demo_company):
    named = demo_company.frame("select * from leading_indicators.activity_progress where is_high_activity_low_progress")
    assert len(named) > 0
    assert (named["worked_deal_count"] >= 10).all() and (named["peer_count"] >= 5).all()
    assert (named["deal_activity_per_working_day"] > named["segment_p75_per_working_day"]).all()
    assert (named["moved_deal_rate_high"] < named["peer_moved_deal_rate"]).all()


@pytest.mark.parametrize(
    ("defect", "flag"),
    [
        ("H01", "is_overdue"),
        ("H02", "is_next_step_missing or is_next_step_past"),
        ("H03", "is_silent"),
        ("H09", "is_pushed_often"),
    ],
)
def test_planted_signs_are_flagged(demo_company, defect, flag):
    [source] = open_sources(demo_company.settings)
    defects: pd.DataFrame = Truth(source.folder).defects()
    planted = {
        f"hubspot-{row.record_id}" if row.source_system == "hubspot" else row.record_id
        for row in defects[defects["defect_id"] == defect].itertuples()
    }
    flagged = {
        row[0]
        for row in demo_company.query(
            f"select opportunity_id from leading_indicators.stalled_deals where is_stalled and ({flag})"
        )
    }
    assert planted and planted <= flagged
