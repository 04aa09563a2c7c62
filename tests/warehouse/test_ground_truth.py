"""Ten demo companies against the truth they were simulated from: do the published 95 % intervals cover it?

At least 90 % of the cells must, which a right interval passes easily and a biased estimate does not: calling open deals lost,
dropping the censored ones or treating losses as censored each fails here.
"""

from __future__ import annotations

import pandas as pd
import pytest

from dagster_project.sources.demo.truth import Truth
from dagster_project.sources.registry import open_sources
from tests.warehouse.company import Company

SEEDS = range(1, 11)
MARTS = ("+stage_conversion", "+ramp_curve", "+rep_retention")
ENOUGH = 0.90


def _covered(frame: pd.DataFrame) -> float:
    low, high, truth = (frame[name].astype(float) for name in ("low", "high", "truth"))
    return float(((low <= truth + 1e-9) & (truth <= high + 1e-9)).mean())


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> dict[str, pd.DataFrame]:
    """Interval and truth of every cell of every seed, by what is estimated."""
    folder = tmp_path_factory.mktemp("ten_companies")
    found: dict[str, list[pd.DataFrame]] = {"conversion": [], "ramp": [], "retention": []}
    for seed in SEEDS:
        company = Company(folder, demo_seed=seed)
        company.build("--select", *MARTS, "--resource-type", "model", "--resource-type", "seed")
        [source] = open_sources(company.settings)
        truth = Truth(source.folder)
        found["conversion"].append(_conversion(company, truth))
        found["ramp"].append(_ramp(company, truth))
        found["retention"].append(_retention(company, truth))
        company.settings.warehouse.unlink()
    return {name: pd.concat(frames, ignore_index=True) for name, frames in found.items()}


def _conversion(company: Company, truth: Truth) -> pd.DataFrame:
    """Level, stage, quarter and horizon; the truth is the mean of the deals' own chances. `ever` where every deal has ended."""
    progress = truth.stage_progress()
    stays = company.frame(
        "select opportunity_id, pipeline, stage, quarter_start_date, team, segment from core.fct_stage_stays where is_first_entry"
    )
    deals = stays.merge(progress[["opportunity_id", "stage", "p_reach_later_ever", "p_by_30", "p_by_60", "p_by_90"]])
    marts = company.frame(
        "select * from leading_indicators.stage_conversion where not is_small_sample and level <> 'rep'"
    )
    rows = []
    for level, column in (("company", None), ("segment", "segment"), ("team", "team")):
        groups = deals.assign(level=level, level_id=deals[column] if column else "all")
        keys = ["level", "level_id", "pipeline", "stage", "quarter_start_date"]
        means = groups.groupby(keys)[["p_reach_later_ever", "p_by_30", "p_by_60", "p_by_90"]].mean().reset_index()
        joined = marts.merge(means, on=keys)
        for horizon in ("30", "60", "90"):
            estimate = f"conversion_rate_adjusted_{horizon}d"
            rows.append(_cell(joined[joined[estimate].notna()], estimate, f"p_by_{horizon}", horizon))
        ended = joined[joined["open_count"] == 0]
        rows.append(_cell(ended, "conversion_rate_adjusted_ever", "p_reach_later_ever", "ever"))
        rows.append(_cell(ended, "conversion_rate", "p_reach_later_ever", "simple"))
    return pd.concat(rows)


def _cell(frame: pd.DataFrame, estimate: str, truth: str, kind: str) -> pd.DataFrame:
    return pd.DataFrame(
        {"low": frame[f"{estimate}_low"], "high": frame[f"{estimate}_high"], "truth": frame[truth], "kind": kind}
    )


def _ramp(company: Company, truth: Truth) -> pd.DataFrame:
    curve = truth.true_ramp_curve()
    curve = curve[curve["segment"] == "all"][["tenure_month", "p_ramped"]]
    mart = company.frame(
        "select hire_quarter, tenure_month, share_ramped_low as low, share_ramped_high as high from lagging_indicators.ramp_curve "
        "where at_risk_count > 0 and share_ramped_low is not null"
    )
    return mart.merge(curve, on="tenure_month").rename(columns={"p_ramped": "truth"})


def _retention(company: Company, truth: Truth) -> pd.DataFrame:
    mart = company.frame(
        "select hire_quarter, tenure_month, survival_rate_low as low, survival_rate_high as high from lagging_indicators.rep_retention "
        "where basis = 'hire_cohort' and not is_small_sample and survival_rate_low is not null"
    )
    return mart.merge(truth.retention()[["tenure_month", "survival"]], on="tenure_month").rename(
        columns={"survival": "truth"}
    )


@pytest.mark.parametrize("kind", ["30", "60", "90", "ever", "simple"])
def test_stage_conversion_covers_the_truth(cells, kind):
    of_kind = cells["conversion"][cells["conversion"]["kind"] == kind]
    assert len(of_kind) > 1_000
    assert _covered(of_kind) >= ENOUGH


def test_ramp_covers_the_truth(cells):
    """Every published interval: of all hires and of each quarter's. A company's months hang together, so one that hired well
    or badly counts many times; the cohorts of a quarter are nearly independent of each other."""
    assert len(cells["ramp"]) > 500
    assert _covered(cells["ramp"]) >= ENOUGH


def test_retention_covers_the_truth(cells):
    assert len(cells["retention"]) > 100
    assert _covered(cells["retention"]) >= ENOUGH
