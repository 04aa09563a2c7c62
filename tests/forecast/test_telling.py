"""What the backtest tells: pooled over companies from sums, and each target that is missed, by how much."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest

from dagster_project.forecast import telling


def _marts(path: Path, errors: dict[str, float], hits: int = 8, squared_error: float = 0.9) -> Path:
    """Ten weeks of one quarter, 1000 won: each method off by so much, the model's range right so often."""
    rows = [
        (method, level, 4, date(2024, 1, 1), "model", error, 1000, number < hits if method == "model" else None)
        for method, error in errors.items()
        for level in telling.LEVELS
        for number in range(10)
    ]
    rows += [("model", "company", 4, date(2023, 1, 1), "base_rates", 9999, 1000, False)]
    rows += [("model", "company", 5, date(2024, 1, 1), "model", 9999, 1000, False)]
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            """
            create schema forecast;
            create table forecast.backtest (method varchar, level varchar, week_of_quarter integer,
              quarter_start_date date, basis varchar, error_amount decimal(18, 2), actual_amount decimal(18, 2),
              is_within_range boolean);
            create table forecast.skill (method varchar, quarter_start_date date, squared_error double,
              base_squared_error double)
            """
        )
        connection.executemany("insert into forecast.backtest values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("insert into forecast.skill values ('model', date '2024-01-01', ?, 1.0)", [squared_error])
    return path


GOOD = {"model": 50, "rep_commit": -100, "crm_weighted": 300, "run_rate": 500}


def test_companies_are_pooled_from_sums_at_locks_where_the_model_had_enough_to_go_by(tmp_path):
    found = telling.quality([_marts(tmp_path / "a", GOOD), _marts(tmp_path / "b", GOOD | {"model": 70})])
    assert found.wape.loc[("company", "model"), "all"] == pytest.approx(0.06)
    assert found.coverage == {"company": (16, 20), "team": (16, 20)}
    assert found.skill == {2024: pytest.approx(0.1)}
    assert found.missed() == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"errors": GOOD | {"model": 101}}, "company: model 10.1% is not below rep_commit 10.0%"),
        ({"errors": GOOD | {"model": 60, "run_rate": 50}}, "team: model 6.0% is 1.20 x the best of the others, 5.0%"),
        ({"hits": 2}, "company: 20% of 10 lie within p10 to p90 (6% to 51%), not 80 %"),
        ({"squared_error": 1.1}, "2024: skill over the stage's base rate is -0.100"),
    ],
)
def test_a_target_that_is_missed_is_told_with_how_far(tmp_path, changed, said):
    path = _marts(tmp_path / "marts", **{"errors": GOOD} | changed)
    assert said in telling.quality([path]).missed()
    assert f"Missed  {said}" in telling.tell(path)


def test_a_company_with_too_little_history_is_told_so(tmp_path):
    path = _marts(tmp_path / "marts", GOOD)
    with duckdb.connect(str(path)) as connection:
        connection.execute("update forecast.backtest set basis = 'base_rates'; delete from forecast.skill")
    assert telling.tell(path).startswith("Too few quarters have settled")
