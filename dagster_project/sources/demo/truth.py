"""What is really so in the demo company, for tests and benchmarks only: no model and no mart may read it.

Tenure month k is the k-th month since the start of a spell, by anniversaries of the start date, and counts only where
the rep was still there on its last day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dagster_project.sources.demo.activities import DEMO, MEETING, Activities
from dagster_project.sources.demo.clock import DAY, NEVER, add_months, day_number, generator, next_monday, tenure_month
from dagster_project.sources.demo.company import (
    REASONS,
    REP,
    SEGMENTS,
    TEAM_SEGMENTS,
    TENDENCIES,
    TENDENCY_BIAS,
    Company,
    Spells,
    hazards,
    spells_of,
)
from dagster_project.sources.demo.company import leaving as leaving_days
from dagster_project.sources.demo.deals import (
    DELETED_SHARE,
    REMOVAL_DAYS,
    Deals,
    drawn,
    moved,
    openings,
)
from dagster_project.sources.demo.emit_gong import CALL_ID, CALL_STEP
from dagster_project.sources.demo.emit_hubspot import ENGAGEMENT_ID
from dagster_project.sources.demo.emit_hubspot import STAGES as HUBSPOT_STAGES
from dagster_project.sources.demo.emit_salesforce import STAGES as SALESFORCE_STAGES
from dagster_project.sources.demo.ids import number_ids, salesforce_ids
from dagster_project.sources.demo.parquet import Files, dates, flags, instants, picked, words
from dagster_project.sources.demo.planning import full_quota
from dagster_project.sources.demo.progress import LOST, PROSPECTING, reach_chance
from dagster_project.sources.demo.records import Records
from dagster_project.sources.demo.tracks import NONE

RAMP_TARGET, RAMP_FIRST_MONTH, RAMP_WINDOW = 0.8, 3, 3
RAMP_REPS, RAMP_MONTHS = 4_000, 36


def stage_progress(files: Files, company: Company, deals: Deals, records: Records) -> None:
    """One row a deal and stage it truly entered by the as-of instant for the first time."""
    stays = deals.stays
    deal, stage = stays["deal"], stays["stage"]
    known = (
        (stays["entered_at"] <= company.last_second)
        & (stays["entered_at"] <= deals.removed[deal])
        & ~deals.is_test[deal]
    )
    deal, stage, chance = deal[known], stage[known], stays["chance"][known]
    entered, to, left_at = stays["entered"][known], stays["to"][known], stays["left_at"][known]
    segment = deals.segment[deal]
    quick = deals.is_same_day[deal]
    within = {
        f"p_by_{days}": np.where(quick, chance, reach_chance(days, entered, stage, segment, chance))
        for days in (30, 60, 90)
    }
    leads = deals.in_salesforce[deal]
    stage_names = [*SALESFORCE_STAGES, *HUBSPOT_STAGES]
    files.write_truth(
        "stage_progress",
        {
            "opportunity_id": deal_ids(deals, records, deal),
            "source_system": words(leads.astype(int), ("hubspot", "salesforce")).cast(pa.string()),
            "stage": words(np.where(leads, stage, stage + len(SALESFORCE_STAGES)), stage_names).cast(pa.string()),
            "stage_number": pa.array(stage),
            "segment": words(segment, SEGMENTS).cast(pa.string()),
            "entered_at": instants(stays["entered_at"][known]),
            "p_reach_later_ever": pa.array(chance),
            **{name: pa.array(values) for name, values in within.items()},
            "outcome": words((to == LOST).astype(int), ("reached", "lost")).cast(pa.string()),
            "outcome_at": instants(left_at),
            "removed_at": instants(np.where(deals.removed[deal] < NEVER * DAY, deals.removed[deal], NONE)),
        },
    )


def deal_ids(deals: Deals, records: Records, deal: np.ndarray) -> pa.Array:
    """The conformed id: Salesforce's, else HubSpot's as `hubspot-<id>`."""
    hub = pc.binary_join_element_wise(pa.scalar("hubspot-"), picked(records.hubspot_deal_ids, deal), "")
    return pc.if_else(pa.array(deals.in_salesforce[deal]), picked(records.deal_ids, deal), hub)


def deal_truth(files: Files, company: Company, deals: Deals, records: Records) -> None:
    """One row a deal: what the company does not know of it."""
    deal = np.flatnonzero(deals.created <= company.last_second)
    files.write_truth(
        "deals",
        {
            "opportunity_id": deal_ids(deals, records, deal),
            "created_at": instants(deals.created[deal]),
            "segment": words(deals.segment[deal], SEGMENTS).cast(pa.string()),
            "quality": pa.array(deals.quality[deal]),
            "skill": pa.array(deals.skill[deal]),
            "is_won": pa.array(deals.is_won[deal]),
            "first_closed_at": instants(deals.closed[deal]),
            "won_amount_usd": pa.array(deals.won_usd[deal]),
            "removed_at": instants(np.where(deals.removed[deal] < NEVER * DAY, deals.removed[deal], NONE)),
            "is_synced": pa.array(deals.is_synced[deal]),
            "is_duplicate": pa.array(deals.duplicate_of[deal] != NONE),
        },
    )


def ramp_months(spells: Spells, spell: np.ndarray, closed: np.ndarray, dollars: np.ndarray, months: int) -> np.ndarray:
    """First tenure month that meets the ramp target, `NONE` where the rep leaves first or never meets it.

    spell, closed, dollars: each win's first owner's spell, second and amount. Wins after the spell do not count.
    """
    day = closed // DAY
    month = tenure_month(spells.start[spell], day)
    counts = (month >= 1) & (month <= months) & (day <= spells.end[spell])
    won = np.zeros((len(spells), months + 1))
    np.add.at(won, (spell[counts], month[counts]), dollars[counts])
    total = np.cumsum(won, axis=1)
    trailing = total[:, RAMP_WINDOW:] - total[:, :-RAMP_WINDOW]
    reached = trailing >= RAMP_TARGET * RAMP_WINDOW * full_quota(spells)[:, None]
    tenure = np.arange(RAMP_FIRST_MONTH, months + 1)
    last_day = np.stack([add_months(spells.start, int(each)) - 1 for each in tenure], axis=1)
    reached &= (spells.end[:, None] >= last_day) & (spells.role == REP)[:, None]
    first = np.argmax(reached, axis=1)
    return np.where(reached.any(axis=1), tenure[first], NONE)


def many_reps(rng: np.random.Generator, count: int) -> Spells:
    """Unrelated reps in the company's mix of segments, hired on Mondays over two years, nobody watching the clock."""
    start = next_monday(day_number(date(2018, 1, 1)) + rng.integers(0, 730, count))
    role = np.full(count, REP)
    end, reason = leaving_days(rng, start, role)
    segment = np.array(TEAM_SEGMENTS)[np.arange(count) % len(TEAM_SEGMENTS)]
    number = np.arange(count)
    return spells_of(rng, number, role, np.full(count, NONE), segment, start, end, reason, number)


def _simulate_ramp() -> pd.DataFrame:
    rng = generator(7, "ramp")
    spells = many_reps(rng, RAMP_REPS)
    until = int(spells.start.max()) + 31 * (RAMP_MONTHS + 1)
    spell, created = openings(rng, spells, 0, until)
    deals = drawn(rng, spells, spell, created)
    moved(rng, deals)
    deleted = (rng.random(len(deals)) < DELETED_SHARE) & (
        rng.exponential(REMOVAL_DAYS, len(deals)) * DAY < deals.closed - deals.created
    )
    won = deals.is_won & ~deleted
    month = ramp_months(spells, deals.spell[won], deals.closed[won], deals.won_usd[won], RAMP_MONTHS)
    left = tenure_month(spells.start, spells.end)
    return pd.DataFrame({"segment": np.array(SEGMENTS)[spells.segment], "ramp_month": month, "left_month": left})


def _segment_mean(frame: pd.DataFrame, months: int) -> pd.DataFrame:
    tenure = np.arange(1, months + 1)
    parts = [("all", frame), *frame.groupby("segment")]
    rows = []
    for name, part in parts:
        ramped = ((part.ramp_month.to_numpy()[:, None] <= tenure) & (part.ramp_month.to_numpy()[:, None] != NONE)).mean(
            axis=0
        )
        left = (part.left_month.to_numpy()[:, None] <= tenure) & (part.ramp_month.to_numpy()[:, None] == NONE)
        rows.append(
            pd.DataFrame(
                {"segment": name, "tenure_month": tenure, "p_ramped": ramped, "p_left_before": left.mean(axis=0)}
            )
        )
    return pd.concat(rows, ignore_index=True)


def reps(files: Files, company: Company, deals: Deals, records: Records) -> None:
    """One row an employment spell of a rep, its traits and its realised ramp with nothing cut off at the as-of day."""
    spells = company.spells
    won = np.flatnonzero(deals.is_won & (deals.removed > deals.closed) & ~deals.is_test)
    in_pipeline = deals.created.copy()
    early = np.flatnonzero(deals.stays["stage"] == PROSPECTING)
    in_pipeline[deals.stays["deal"][early]] = deals.stays["left_at"][early]
    owner = deals.tracks["owner"].value_at(won, in_pipeline[won])
    month = ramp_months(spells, owner, deals.closed[won], deals.won_usd[won], RAMP_MONTHS)
    spell = np.flatnonzero((spells.role == REP) & (spells.start <= company.last_day))
    left = spells.end[spell] <= company.last_day
    files.write_truth(
        "reps",
        {
            "user_id": picked(records.user_ids, spells.user[spell]),
            "email": picked(records.emails, spells.person[spell]),
            "segment": words(spells.segment[spell], SEGMENTS).cast(pa.string()),
            "start_date": dates(spells.start[spell]),
            "end_date": dates(np.where(left, spells.end[spell], NONE)),
            "end_reason": words(np.where(left, spells.reason[spell], NONE), REASONS).cast(pa.string()),
            "true_end_date": dates(spells.end[spell]),
            "skill": pa.array(spells.skill[spell]),
            "ramp_speed": pa.array(spells.ramp_speed[spell]),
            "territory_potential": pa.array(spells.potential[spell]),
            "monthly_quota_usd": pa.array(full_quota(spells)[spell]),
            "tendency": words(spells.tendency[spell], TENDENCIES).cast(pa.string()),
            "tendency_bias": pa.array(np.array(TENDENCY_BIAS)[spells.tendency[spell]]),
            "is_theatre": flags(spells.is_theatre[spell]),
            "ramp_month": pa.array(month[spell], mask=month[spell] == NONE),
            "is_seen_from_start": flags(spells.start[spell] >= company.first_day),
        },
    )


def retention(files: Files) -> None:
    """The true chance to leave in each tenure month and the survival to its end."""
    rates = hazards(120)
    files.write_truth(
        "retention",
        {
            "tenure_month": pa.array(np.arange(1, 121)),
            "hazard": pa.array(rates),
            "survival": pa.array(np.cumprod(1 - rates)),
        },
    )


def same_activities(files: Files, deals: Deals, chunk: Activities) -> None:
    """Pairs of records in two systems that are one activity: conformed ids, the leading one first."""
    hub, both = deals.in_hubspot[chunk.deal], chunk.in_both & chunk.in_crm
    is_talk = (chunk.kind == MEETING) | (chunk.kind == DEMO)
    gong = hubspot_or_gong("gong-", CALL_ID, chunk.number * CALL_STEP)
    hubspot = hubspot_or_gong("hubspot-", ENGAGEMENT_ID, chunk.number)
    event, task = salesforce_ids("00U", chunk.number), salesforce_ids("00T", chunk.number)
    salesforce = pc.if_else(pa.array(is_talk), event, task)
    kept, other = [], []
    for chosen, first, second in (
        (chunk.in_gong & chunk.in_crm & ~hub, gong, salesforce),
        (chunk.in_gong & chunk.in_crm & hub, gong, hubspot),
        (both & ~chunk.in_gong, salesforce, hubspot),
        (both & chunk.in_gong, gong, salesforce),
    ):
        kept.append(first.filter(pa.array(chosen)))
        other.append(second.filter(pa.array(chosen)))
    files.write_truth(
        "same_activities", {"activity_id": pa.concat_arrays(kept), "other_activity_id": pa.concat_arrays(other)}
    )


def hubspot_or_gong(prefix: str, first: int, numbers: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(pa.scalar(prefix), number_ids(first, numbers), "")


def write(files: Files, company: Company, deals: Deals, records: Records) -> None:
    stage_progress(files, company, deals, records)
    deal_truth(files, company, deals, records)
    reps(files, company, deals, records)
    retention(files)


@dataclass(frozen=True)
class Truth:
    """The truth of one simulated company: `Truth(source.prepare())`. Every accessor gives a data frame."""

    folder: Path

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "truth" / f"{name}.parquet")

    def stage_progress(self) -> pd.DataFrame:
        return self.table("stage_progress")

    def deals(self) -> pd.DataFrame:
        return self.table("deals")

    def reps(self) -> pd.DataFrame:
        """Skill, tendency (sandbagger, happy_ears, honest), activity theatre, realised ramp month; one row a spell."""
        return self.table("reps")

    def retention(self) -> pd.DataFrame:
        return self.table("retention")

    def defects(self) -> pd.DataFrame:
        return self.table("defects")

    def true_ramp_curve(self, max_month: int = RAMP_MONTHS) -> pd.DataFrame:
        """segment ('all' too), tenure_month, p_ramped, p_left_before: cumulative incidences of 4,000 uncensored reps.

        The event is the metric's: trailing three tenure months' won dollars on deals the rep opened, during the spell,
        at least 80 % of the full quota of those months, from month three on, the rep there on the month's last day.
        Currency drift between plan and dated rate is left out. Kept beside the company after the first call.
        """
        path = self.folder / "truth" / "ramp_reps.parquet"
        if not path.exists():
            partial = path.with_suffix(".partial")
            pq.write_table(pa.Table.from_pandas(_simulate_ramp(), preserve_index=False), partial)
            partial.replace(path)
        return _segment_mean(pd.read_parquet(path), min(max_month, RAMP_MONTHS))
