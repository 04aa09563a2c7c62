"""Forecasts of past locks: nothing is known too early or forecast twice, and what the truth is worth is found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from dagster_project.forecast import SEED, backtest, deals, scoring, store
from dagster_project.forecast.rolling import Past
from tests.forecast.company import STARTS, build

KEY = ["lock_date", "level", "level_id"]


@pytest.fixture(scope="module")
def company():
    with build() as connection:
        yield connection


@pytest.fixture(scope="module")
def renewed(company):
    """The company, looked back on once; rows kept by table."""
    return backtest.renew(company, SEED)


def _forecasts(connection) -> pd.DataFrame:
    return connection.execute("select * from archive.quarter_forecasts order by lock_date, level, level_id").df()


def test_what_comes_after_a_lock_changes_nothing_in_its_forecast(company, renewed):
    """Cut off in the middle of a quarter, the company is forecast as it is when all that came later is there."""
    cut = STARTS[3] + timedelta(days=40)
    with build(until=cut) as early:
        first = backtest.renew(early, SEED)
        before = _forecasts(early)
        assert backtest.renew(early, SEED) == first | {"deal_forecasts": 0, "quarter_forecasts": 0}
        pd.testing.assert_frame_equal(_forecasts(early), before)  # and a second backtest restates nothing
        deals = early.execute("select * from archive.deal_forecasts order by lock_date, opportunity_id").df()
    assert before["lock_date"].nunique() > 40 and (before["basis"] == "model").any()
    after = _forecasts(company)
    pd.testing.assert_frame_equal(before, after[after["lock_date"] <= pd.Timestamp(cut)].reset_index(drop=True))
    later = company.execute(
        "select * from archive.deal_forecasts where lock_date <= ? order by lock_date, opportunity_id", [cut]
    ).df()
    pd.testing.assert_frame_equal(deals, later)


def test_history_too_short_to_learn_from_is_said(company, renewed):
    bases = company.execute(
        "select l.quarter_start_date, list(distinct basis order by basis), max(trained_quarter_count) "
        "from archive.quarter_forecasts inner join forecast.locks as l using (lock_date) group by 1 order by 1"
    ).fetchall()
    assert bases[0][1] == ["crm_probabilities"]
    assert "base_rates" in bases[1][1] and "model" not in bases[1][1]
    assert bases[-1][1:] == (["model"], len(STARTS) - 1)


def test_parts_add_up_in_every_row_and_over_every_level(company, renewed):
    assert company.execute(
        """
        select count(*) from archive.quarter_forecasts
        where mean_amount <> won_amount + open_deals_amount + new_deals_amount + call_adjustment_amount
            or p10_amount > p50_amount or p50_amount > p90_amount
        """
    ).fetchone() == (0,)
    sums = company.execute(
        "select lock_date, level, sum(mean_amount), sum(new_deals_amount) from archive.quarter_forecasts group by all"
    ).df()
    assert (sums.groupby("lock_date")[list(sums.columns[2:])].nunique() == 1).all().all()


def test_the_model_is_worth_more_than_the_stage_and_its_chances_come_true(company, renewed):
    skill = company.execute(
        "select 1 - sum(squared_error) / sum(base_squared_error), sum(won_count) / sum(predicted_count) "
        "from archive.calibration where method = 'model'"
    ).fetchone()
    assert skill[0] > 0.02 and 0.85 < skill[1] < 1.15
    errors = company.execute(
        "select method, sum(abs(forecast_amount - actual_amount)) from archive.backtest "
        "where level = 'company' and basis = 'model' group by method"
    ).fetchall()
    errors = dict(errors)
    assert errors["model"] < min(errors["run_rate"], errors["evidence_weighted"], errors["last_quarter"])


def test_a_run_forecasts_the_newest_lock_once_and_later_the_locks_since():
    cut = STARTS[4] + timedelta(days=20)
    with build(until=cut) as connection:
        [newest] = store.locks_to_forecast(connection)
        assert newest == connection.execute("select max(lock_date) from forecast.locks").fetchone()[0]
        [forecast] = scoring.score(connection, [newest], SEED)
        assert store.keep(connection, "deal_forecasts", forecast.deals) == len(forecast.deals) > 0
        assert store.keep(connection, "quarter_forecasts", forecast.levels) == len(forecast.levels)
        assert store.keep(connection, "quarter_forecasts", forecast.levels.assign(mean_amount=1.0)) == 0
        assert store.locks_to_forecast(connection) == []
        [reasons] = forecast.deals.loc[forecast.deals["reasons"].str.contains("champion verified"), "reasons"].head(1)
        assert reasons.startswith("for: ") and forecast.deals["basis"].eq("model").all()
        open_ = connection.execute("select count(*) from forecast.locked_inputs where lock_date = ?", [newest])
        assert open_.fetchone() == (len(forecast.deals),)
        with build(until=cut + timedelta(days=14)) as later:
            for table in ("deal_forecasts", "quarter_forecasts"):
                rows = connection.execute(f"from archive.{table}").df()  # noqa: F841, read by its name
                later.execute(f"insert into archive.{table} from rows")
            assert len(store.locks_to_forecast(later)) == 2


def test_what_was_learned_before_is_not_learned_again_and_forecasts_alike():
    with build(until=STARTS[4] + timedelta(days=30)) as connection:
        due, past = store.locks_to_forecast(connection), Past()
        [first] = scoring.score(connection, due, SEED, past)
        [again] = scoring.score(connection, due, SEED, past)
        pd.testing.assert_frame_equal(first.deals.reset_index(drop=True), again.deals.reset_index(drop=True))
        pd.testing.assert_frame_equal(first.levels, again.levels)


def test_a_deal_held_out_by_the_gate_is_in_no_forecast():
    with build(until=STARTS[4] + timedelta(days=30)) as connection:
        [newest] = store.locks_to_forecast(connection)
        [held] = connection.execute("select min(opportunity_id) from forecast.locked_inputs where lock_date = ?",
                                    [newest]).fetchone()  # fmt: skip
        connection.execute("update forecast.locked_inputs set is_held_out = true where opportunity_id = ?", [held])
        [forecast] = scoring.score(connection, [newest], SEED)
        assert len(forecast.deals) and held not in set(forecast.deals["opportunity_id"])


def test_a_field_whose_past_is_unknown_is_not_looked_at():
    """Amounts without history: every deal is worth the same, whatever the record says today."""
    with build(until=STARTS[4] + timedelta(days=30)) as connection:
        connection.execute("update forecast.locked_inputs set reconstructed_fields = 'amount,close_date'")
        due = store.locks_to_forecast(connection)
        [first] = scoring.score(connection, due, SEED)
        connection.execute("update forecast.locked_inputs set amount_base = amount_base * 7")
        [again] = scoring.score(connection, due, SEED)
    assert first.deals["amount_if_won"].nunique() == 1
    assert np.array_equal(first.deals["win_in_quarter_probability"], again.deals["win_in_quarter_probability"])
    assert np.array_equal(first.deals["expected_amount"], again.deals["expected_amount"])


def test_no_lock_and_no_forecast():
    with build(until=date(2021, 1, 1)) as connection:
        assert list(scoring.score(connection, store.locks_to_forecast(connection), SEED)) == []
        assert set(backtest.renew(connection, SEED).values()) == {0}


def test_all_is_learned_from_until_there_is_more_than_a_sample_and_the_share_never_grows():
    shares = deals.sample_shares(np.array([deals.SAMPLE_ROWS // 2] * 2 + [deals.SAMPLE_ROWS] * 2))
    assert shares.tolist() == [1, 1, 1, 1 / 2, 1 / 3]


@contextmanager
def _small_samples() -> Iterator[list[tuple[pd.DataFrame, pd.Timestamp]]]:
    """A sample has about 600 rows; yields the rows of each fit, with the instant by which they had to be known."""
    lessons, fit = [], deals.fit

    def noted(rows, classes, known_at):
        lessons.append((rows, known_at))
        return fit(rows, classes, known_at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deals, "SAMPLE_ROWS", 600)
        patch.setattr(deals, "fit", noted)
        yield lessons


@pytest.fixture(scope="module")
def sampled():
    """A company whose quarters each have more rows than a sample, looked back on, and what was learned from."""
    with build(until=STARTS[5], a_quarter=150) as connection:
        with _small_samples() as lessons:
            backtest.renew(connection, SEED)
        yield connection, lessons


def test_of_a_long_history_a_sample_of_whole_deals_of_every_settled_quarter_is_learned_from(sampled):
    connection, lessons = sampled
    query = "select opportunity_id, count(*) from forecast.locked_inputs group by 1"
    locks = dict(connection.execute(query).fetchall())
    settled = dict(connection.execute("select quarter_start_date, lock_at from intermediate.int_locks").fetchall())
    assert [rows["quarter_start_date"].nunique() for rows, _ in lessons] == [1, 2, 3, 4]
    before: set[str] = set()
    for rows, known_at in lessons:
        assert 450 < len(rows) < 750
        assert all(settled[start.date()] <= known_at for start in rows["quarter_start_date"].unique())
        of_quarter = rows.groupby("quarter_start_date")["opportunity_id"].nunique()
        assert of_quarter.min() > 0.5 * of_quarter.mean()
        assert rows["opportunity_id"].value_counts().to_dict().items() <= locks.items()
        newest = rows.loc[rows["quarter_start_date"] == of_quarter.index[-1], "opportunity_id"]
        assert set(rows["opportunity_id"]) - set(newest) <= before  # a part of the sample before it, and new deals
        before = set(rows["opportunity_id"])
    judged = connection.execute("select count(*) from archive.deal_forecasts").fetchone()
    assert judged == (sum(locks.values()),)


def test_a_sample_goes_by_what_was_known_so_a_lock_is_forecast_alike_later(sampled):
    cut = STARTS[3] + timedelta(days=40)
    query = "select * from archive.deal_forecasts where lock_date <= ? order by lock_date, opportunity_id"
    with build(until=cut, a_quarter=150) as early, _small_samples():
        [newest] = store.locks_to_forecast(early)
        [live] = scoring.score(early, [newest], SEED)
        backtest.renew(early, SEED)
        before = early.execute(query, [cut]).df()
    pd.testing.assert_frame_equal(before, sampled[0].execute(query, [cut]).df())
    looked_back = before.loc[before["lock_date"] == pd.Timestamp(newest), "win_in_quarter_probability"]
    assert live.deals["basis"].eq("model").all()
    assert np.allclose(live.deals["win_in_quarter_probability"], looked_back, atol=1e-5)


def test_a_backtest_that_dies_changes_nothing(company, renewed, monkeypatch):
    found = {name: company.execute(f"from archive.{name} order by all").fetchall() for name in store.REPLACED}
    calibrated = []

    def dies_at_the_third_quarter(quarter):
        calibrated.append(quarter)
        if len(calibrated) == 3:
            raise MemoryError
        return calibration(quarter)

    calibration = backtest.calibration
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(backtest, "calibration", dies_at_the_third_quarter)
        backtest.renew(company, SEED)
    for name, rows in found.items():
        assert rows, name
        assert company.execute(f"from archive.{name} order by all").fetchall() == rows, name
    assert backtest.renew(company, SEED) == renewed | {"deal_forecasts": 0, "quarter_forecasts": 0}
