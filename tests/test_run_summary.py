"""A run ends with the numbers a sales manager asks for first, as the newest lock of the company has them."""

from __future__ import annotations

import duckdb
import pytest

from dagster_project import run

LOCK = {
    "won_amount": 896419.04, "quota_amount": 3671367, "commit_called_amount": 2705700, "commit_amount": 1021190.6,
    "commit_evidenced_amount": 595955.5, "forecast_amount": 2139796, "model_amount": 3227721.58,
    "p10_amount": 2824591.25, "p90_amount": 3604042.73,
}  # fmt: skip


@pytest.fixture
def summary(settings, tmp_path, monkeypatch):
    """What a run says of marts that hold this lock of the company, an older one, and a team's."""

    def said(**changed) -> list[str]:
        marts = tmp_path / "marts.duckdb"
        marts.unlink(missing_ok=True)
        monkeypatch.setattr(run, "current_marts", lambda settings: marts)
        with duckdb.connect(str(marts)) as connection:
            connection.execute("create schema forecast; create schema leading_indicators")
            amounts = ", ".join(f"{name} decimal(18, 2)" for name in LOCK)
            connection.execute(
                f"create table forecast.rollup (level varchar, lock_date date, fiscal_quarter varchar, {amounts})"
            )
            for level, day, values in (
                ("company", "2025-11-09", dict.fromkeys(LOCK, 1)),
                ("company", "2025-11-16", LOCK | changed),
                ("team", "2025-11-23", dict.fromkeys(LOCK, 2)),
            ):
                row = [level, day, "FY2025-Q4", *values.values()]
                connection.execute(f"insert into forecast.rollup values ({', '.join('?' * len(row))})", row)
            connection.execute(
                "create table leading_indicators.weekly_pipeline_waterfall as "
                "select 'company' as level, date '2025-11-16' as week_end_date, 'FY2025-Q4' as target_fiscal_quarter, "
                "cast(2675228 as decimal(18, 2)) as ending_amount"
            )
        return run._figures(settings)

    return said


def test_the_models_number_stands_with_its_range_and_what_the_call_rests_on(summary):
    assert summary() == [
        "FY2025-Q4, as of the lock of 2025-11-16",
        "  won                   896,419 of 3,671,367 quota, 2,774,948 to go",
        "  open, closing in it   2,675,228, 1.0 times what is to go",
        "  forecast              3,227,722 by the model, 2,824,591 to 3,604,043 in eight cases of ten",
        "  called by the reps    2,705,700; of 1,021,191 open commit, 595,956 rests on evidence",
        "",
    ]


def test_without_a_model_the_crms_probabilities_stand_named_as_such(summary):
    told = summary(model_amount=None, p10_amount=None, p90_amount=None, commit_amount=0)
    assert told[3:5] == [
        "  forecast              2,139,796 by the CRM's probabilities",
        "  called by the reps    2,705,700",
    ]


def test_a_quota_that_is_made_or_missing_divides_by_nothing(summary):
    assert summary(quota_amount=None)[1:3] == ["  won                   896,419", "  open, closing in it   2,675,228"]
    assert summary(quota_amount=1000)[1:3] == [
        "  won                   896,419 of 1,000 quota, 0 to go",
        "  open, closing in it   2,675,228",
    ]
