"""The backtest told in a table: how far each method was off, whether the ranges hold, what the chances are worth;
targets missed.

Read from the published marts. Not here: how any of it is worked out (`backtest.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

WEEKS = (1, 4, 8, 11)
LEVELS = ("company", "team")
BETTER_THAN = ("rep_commit", "crm_weighted")
NEAR_BEST = 1.05
IN_RANGE = 0.8
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Quality:
    """What several companies' backtests say together. `wape`: by level, method and week ('all' too); `coverage`: by
    level, hits and forecasts; `skill`: by year."""

    wape: pd.DataFrame
    coverage: dict[str, tuple[int, int]]
    skill: dict[int, float]

    def missed(self) -> list[str]:
        """Each target that is missed, and by how much; nothing where all are met."""
        found = []
        for level in LEVELS:
            if (level, "model") not in self.wape.index:
                continue
            of_level = self.wape.loc[level]["all"]
            model, best = of_level["model"], of_level.drop("model").min()
            found += [
                f"{level}: model {model:.1%} is not below {method} {of_level[method]:.1%}"
                for method in BETTER_THAN
                if method in of_level and model >= of_level[method]
            ]
            if model > NEAR_BEST * best:
                found.append(f"{level}: model {model:.1%} is {model / best:.2f} x the best of the others, {best:.1%}")
            low, high = wilson(*self.coverage[level])
            if not low <= IN_RANGE <= high:
                hits, n = self.coverage[level]
                found.append(
                    f"{level}: {hits / n:.0%} of {n} lie within p10 to p90 ({low:.0%} to {high:.0%}), not 80 %"
                )
        found += [
            f"{year}: skill over the stage's base rate is {skill:.3f}"
            for year, skill in self.skill.items()
            if skill <= 0
        ]
        return found


def quality(marts: Sequence[Path], since: str = "1900-01-01", until: str = "9999-12-31") -> Quality:
    """Of the settled quarters that begin from `since` to before `until`, at locks where the model had enough to go
    by."""
    errors, chances = [], []
    for path in marts:
        with duckdb.connect(str(path), read_only=True) as connection:
            errors.append(connection.execute(_ERRORS, [list(LEVELS), list(WEEKS), since, until]).df())
            chances.append(connection.execute(_CHANCES, [since, until]).df())
    told = pd.concat(errors, ignore_index=True)
    weeks = told.groupby(["level", "method", "week_of_quarter"])[["error", "actual"]].sum()
    wape = (weeks["error"] / weeks["actual"]).unstack()
    pooled = told.groupby(["level", "method"])[["error", "actual"]].sum()
    wape["all"] = pooled["error"] / pooled["actual"]
    model = told[told["method"] == "model"].groupby("level")[["hits", "forecasts"]].sum()
    coverage = {level: (int(row["hits"]), int(row["forecasts"])) for level, row in model.iterrows()}
    years = pd.concat(chances).groupby("year")[["squared_error", "base_squared_error"]].sum()
    skill = (1 - years["squared_error"] / years["base_squared_error"]).to_dict()
    return Quality(wape, coverage, {int(year): float(value) for year, value in skill.items()})


_ERRORS = """
select
    level, method, week_of_quarter,
    cast(sum(abs(error_amount)) as double) as error, cast(sum(actual_amount) as double) as actual,
    count(*) filter (where is_within_range) as hits, count(is_within_range) as forecasts
from forecast.backtest
where basis = 'model' and list_contains(?, level) and list_contains(?, week_of_quarter)
    and quarter_start_date >= cast(? as date) and quarter_start_date < cast(? as date)
group by level, method, week_of_quarter
"""
_CHANCES = """
select
    extract(year from quarter_start_date) as year,
    cast(sum(squared_error) as double) as squared_error, cast(sum(base_squared_error) as double) as base_squared_error
from forecast.skill
where method = 'model' and quarter_start_date >= cast(? as date) and quarter_start_date < cast(? as date)
group by 1
"""


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not n:
        return 0.0, 1.0
    middle, spread = hits + Z_95**2 / 2, Z_95 * (hits * (n - hits) / n + Z_95**2 / 4) ** 0.5
    return (middle - spread) / (n + Z_95**2), (middle + spread) / (n + Z_95**2)


def tell(*marts: Path) -> str:
    """The backtest as a page of text."""
    found = quality(marts)
    if found.wape.empty:
        return "Too few quarters have settled to hold the model against any: it learns from two before the first."
    lines = []
    for level in LEVELS:
        if level not in found.wape.index.get_level_values(0):
            continue
        lines += [
            f"How far off, {level} (sum of errors over sum of actuals)",
            _row("week of the quarter", [*WEEKS, "all"]),
        ]
        of_level = found.wape.loc[level].sort_values("all")
        lines += [
            _row(method, [f"{row.get(week, float('nan')):.1%}" for week in (*WEEKS, "all")])
            for method, row in of_level.iterrows()
        ]
        hits, n = found.coverage.get(level, (0, 0))
        low, high = wilson(hits, n)
        lines += [
            f"  within p10 to p90     {hits} of {n}, {hits / max(n, 1):.0%} (95 % interval {low:.0%} to {high:.0%})",
            "",
        ]
    lines.append("Skill of the chances over the stage's base rate (0: as good as that, 1: perfect)")
    lines += [_row(str(year), [f"{value:.3f}"]) for year, value in sorted(found.skill.items())]
    missed = found.missed()
    return "\n".join(
        [*lines, "", *(f"Missed  {text}" for text in missed)] if missed else [*lines, "", "All targets met"]
    )


def _row(name: str, values: Sequence[object]) -> str:
    return f"  {name:<22}" + "".join(f"{value!s:>8}" for value in values)
