"""The intervals of the lever gap: they agree with what the models count, never change for what does not concern them,
and tell a lever that moved from one that did not."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import pytest

from dagster_project.forecast import levers

Q1, Q2 = date(2025, 1, 1), date(2025, 4, 1)


def deals(
    quarter: date,
    count: int,
    closed: int,
    won: int,
    amount: float,
    rep: str = "r1",
    spread: float = 0.3,
    start: int = 0,
):
    """Deals of one quarter; amounts spread evenly around their mean."""
    rows = []
    for number in range(count):
        is_won, is_closed = number < won, number < closed
        size = amount * (1 + spread * (2 * (number + 0.5) / max(won, 1) - 1)) if is_won else 0
        outcome = "won" if is_won else "lost" if is_closed else "open"
        closed_date = quarter + timedelta(days=30 + number % 40) if is_closed else None
        rows.append(
            (f"{rep}-{quarter}-{start + number}", quarter, rep, "T", "S", outcome, quarter, closed_date, round(size, 2))
        )
    return rows


def company(rows) -> duckdb.DuckDBPyConnection:
    """The two tables the draws are made from, places worked out here by plain addition."""
    connection = duckdb.connect()
    connection.execute(
        """
        create schema core; create schema intermediate;
        create table core.fct_deals_in_play (opportunity_id varchar, quarter_start_date date, rep_id varchar,
          team varchar, segment varchar, outcome varchar, in_play_from_date date, closed_date date,
          won_amount_base decimal(18, 2))
        """
    )
    given = pd.DataFrame(rows)  # noqa: F841 (read by name below)
    connection.execute("insert into core.fct_deals_in_play from given")
    cuts = " union all ".join(
        f"select '{level}' as level, {column or repr('all')} as level_id, * from core.fct_deals_in_play"
        for level, column in levers.LEVELS.items()
    )
    connection.execute(
        f"""
        create table intermediate.int_lever_places as
        select
          level, level_id, quarter_start_date,
          cast(extract(quarter from quarter_start_date) as integer) as quarter_number,
          true as is_complete, true as is_whole, true as is_peer, case when level = 'rep' then 'S' end as peer_group,
          1000 as day_of_quarter, 1000.00 as quota_amount, quarter_start_date + 89 as measured_to_date,
          count(*) as deal_count
        from ({cuts})
        group by all
        """
    )
    return connection


def interval(table, base="own", level="company", quarter=Q2, part="win_rate") -> tuple[float, float]:
    [row] = [
        row
        for row in table.to_pylist()
        if (row["base"], row["level"], row["quarter_start_date"]) == (base, level, quarter)
    ]
    return float(row[f"{part}_low"]), float(row[f"{part}_high"])


def test_parts_add_up_to_the_gap_in_whatever_order_the_factors_changed():
    rng = np.random.default_rng(1)
    now, base = rng.uniform(0, 5, (4, 100, 3)), rng.uniform(0, 5, (4, 100, 3))
    quota = rng.uniform(0, 500, 100)
    parts = levers.shapley(quota, now, base)
    assert np.allclose(parts.sum(axis=0), quota[:, None] - now.prod(axis=0))
    swapped = levers.shapley(quota, now[[2, 0, 3, 1]], base[[2, 0, 3, 1]])
    assert np.allclose(parts[[0, 3, 1, 4, 2]], swapped)


def test_a_factor_that_did_not_change_has_no_part():
    base = np.full((4, 1, 1), 2.0)
    now = base.copy()
    now[2] = 3.0
    parts = levers.shapley(np.array([20.0]), now, base)[:, 0, 0]
    assert parts.tolist() == [4.0, 0.0, 0.0, -8.0, 0.0]


def test_a_win_rate_that_fell_is_told_from_chance_and_the_rest_is_not_blamed():
    table = levers.intervals(company(deals(Q1, 400, 300, 150, 100) + deals(Q2, 400, 300, 90, 100)))
    low, high = interval(table, part="win_rate")
    assert 0 < low < 100 * (150 - 90) < high
    for part in ("deals_in_play", "speed", "deal_size"):
        low, high = interval(table, part=part)
        assert low < 0 < high, part


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Companies drawn with a known win rate before and after: the part that the true rates make lies inside."""
    rng, held, truth = np.random.default_rng(7), 0, 300 * (0.4 - 0.3) * 100
    for number in range(60):
        won = rng.binomial(300, 0.4), rng.binomial(300, 0.3)
        rows = deals(Q1, 400, 300, won[0], 100, start=1000 * number) + deals(
            Q2, 400, 300, won[1], 100, start=1000 * number
        )
        low, high = interval(levers.intervals(company(rows), draws=200))
        held += low <= truth <= high
    assert 52 <= held <= 60


def test_the_same_seed_gives_the_same_intervals_whatever_order_the_deals_come_in():
    rows = deals(Q1, 60, 50, 20, 100) + deals(Q2, 60, 50, 20, 100)
    once, again = levers.intervals(company(rows)), levers.intervals(company(rows[::-1]))
    assert once.equals(again)
    assert not once.equals(levers.intervals(company(rows), seed=2))


def test_deals_that_come_later_leave_what_was_drawn_before_alone():
    early = deals(Q1, 60, 50, 20, 100) + deals(Q2, 60, 50, 20, 100)
    before = levers.intervals(company(early)).to_pylist()
    after = levers.intervals(company(early + deals(date(2025, 7, 1), 40, 30, 9, 120))).to_pylist()
    assert before and all(row in after for row in before)


def test_a_rep_is_held_against_the_others_not_against_the_rep_too():
    rows = [row for rep, won in (("r1", 10), ("r2", 40), ("r3", 40)) for row in deals(Q2, 100, 80, won, 100, rep)]
    table = levers.intervals(company(rows)).to_pylist()
    peers = {row["level_id"]: row for row in table if row["base"] == "peers" and row["level"] == "rep"}
    assert peers["r1"]["win_rate_low"] > 0
    assert not [row for row in table if row["base"] == "peers" and row["level"] == "company"]
    assert not [row for row in table if row["base"] == "own"], "nothing stands before the first quarter"


def test_too_few_wins_to_draw_from_get_no_interval():
    table = levers.intervals(company(deals(Q1, 40, 30, 1, 100) + deals(Q2, 40, 30, 20, 100))).to_pylist()
    assert table == []


def test_a_draw_counts_a_deal_once_on_average_with_the_spread_of_poisson():
    counts = levers.weights(levers.numbers([f"d{n}" for n in range(5_000)]), range(40), 1)
    assert abs(counts.mean() - 1) < 0.01 and abs(counts.var() - 1) < 0.02
    correlations = np.corrcoef(counts.T) - np.eye(40)
    assert np.abs(correlations).max() < 0.08, "draws repeat each other"


@pytest.fixture
def levers_of_the_golden_company(golden_company):
    with duckdb.connect(str(golden_company.settings.warehouse), read_only=True) as connection:
        yield connection


def test_draws_of_one_each_are_what_the_models_count(levers_of_the_golden_company):
    """Python adds deals up to places as dbt does: the same places, the same sums."""
    company = levers.read(levers_of_the_golden_company)
    by_end, by_day = company.sums(np.ones((len(company.deals), 1), dtype=np.float32))
    rows = levers_of_the_golden_company.execute(
        """
        select deal_count, closed_count, won_count, won_amount,
          deal_count_by_day, closed_count_by_day, won_count_by_day, won_amount_by_day
        from intermediate.int_lever_places order by level, level_id, quarter_number
        """
    ).fetchall()
    assert rows
    assert np.allclose(np.concatenate([by_end, by_day])[:, :, 0].T, np.array(rows, dtype=float))
