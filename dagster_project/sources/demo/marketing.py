"""Campaigns and the leads they brought, some converted into the deals of inbound and event sources."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagster_project.sources.demo.clock import DAY, at_work, generator, quarter_start
from dagster_project.sources.demo.company import SDR, Company
from dagster_project.sources.demo.deals import Deals
from dagster_project.sources.demo.tracks import NONE

KINDS = ("Webinar", "Conference", "Content", "Paid Search", "Trade Show", "Email")
KIND_SOURCE = (0, 3, 0, 0, 3, 0)  # Inbound or Event
DEAD_LEADS = 2.2  # that never convert, for one that does


@dataclass
class Marketing:
    campaign_names: list[str]
    campaign_types: list[str]
    campaign_start: np.ndarray
    campaign_days: np.ndarray
    campaign_cost: np.ndarray
    created: np.ndarray  # one a lead
    qualified: np.ndarray
    converted: np.ndarray
    deal: np.ndarray
    source: np.ndarray
    campaign: np.ndarray
    owner: np.ndarray
    contact: np.ndarray
    is_dropped: np.ndarray

    def versions(self, company: Company) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lead, day and step (created, qualified, converted) of each version, in load order."""
        rows, days, steps = [], [], []
        for step, at in enumerate((self.created, self.qualified, self.converted)):
            known = np.flatnonzero((at != NONE) & (at <= company.last_second))
            rows.append(known), days.append(at[known] // DAY), steps.append(np.full(known.size, step))
        row, day, step = np.concatenate(rows), np.concatenate(days), np.concatenate(steps)
        order = np.lexsort((step, row, day))
        row, day, step = row[order], day[order], step[order]
        last = np.append((row[1:] != row[:-1]) | (day[1:] != day[:-1]), True)
        return row[last], day[last], step[last]


def promote(company: Company, deals: Deals) -> Marketing:
    """Run six campaigns a quarter, attribute deals of their sources to them, and find the leads behind deals."""
    rng = generator(company.seed, "marketing")
    quarters = np.unique(quarter_start(np.arange(company.first_day, company.last_day + 1)))
    start = np.maximum(
        np.repeat(quarters, len(KINDS)) + rng.integers(0, 50, quarters.size * len(KINDS)), company.first_day
    )
    kind = np.tile(np.arange(len(KINDS)), quarters.size)
    source = np.array(KIND_SOURCE)[kind]
    labels = [str(np.datetime64(int(day), "D"))[:7] for day in start]
    deals.campaign = np.full(len(deals), NONE)
    for each in (0, 3):
        mine = np.flatnonzero(source == each)
        mine = mine[np.argsort(start[mine], kind="stable")]
        of = np.flatnonzero((deals.source == each) & (rng.random(len(deals)) < 0.8))
        running = np.searchsorted(start[mine], deals.created[of] // DAY, side="right") - 1 - rng.integers(0, 3, of.size)
        deals.campaign[of] = np.where(running >= 0, mine[np.maximum(running, 0)], NONE)
    led = np.isin(deals.source, (0, 3)) & deals.in_salesforce & ~deals.in_hubspot & (deals.kind == 0)
    led = np.flatnonzero(led & (deals.created > (company.first_day + 30) * DAY) & ~deals.is_test)
    dead = int(led.size * DEAD_LEADS)
    wait = rng.integers(2, 28, led.size)
    born = at_work(rng, deals.created[led] // DAY - wait)
    steps = born + ((deals.created[led] - born) * rng.uniform(0.2, 0.9, led.size)).astype(np.int64)
    lone = at_work(rng, rng.integers(company.first_day, company.last_day + 1, dead))
    lone_qualified = np.where(rng.random(dead) < 0.35, lone + rng.integers(DAY, 20 * DAY, dead), NONE)
    n = led.size + dead
    created = np.concatenate([born, lone])
    order = np.argsort(created, kind="stable")
    sources = np.concatenate([deals.source[led], rng.choice((0, 3), dead)])
    lone_source = sources[led.size :]
    lone_campaign = np.full(dead, NONE)
    for each in (0, 3):
        mine = np.flatnonzero(source == each)
        mine = mine[np.argsort(start[mine], kind="stable")]
        of = lone_source == each
        running = np.searchsorted(start[mine], lone[of] // DAY, side="right") - 1
        lone_campaign[of] = np.where(running >= 0, mine[np.maximum(running, 0)], NONE)
    sdr = np.flatnonzero(company.seats.role == SDR)
    holder = company.spells.holder(rng.choice(sdr, n), created // DAY)
    head = company.spells.holder(np.full(n, company.seats.role.size - 1), created // DAY)
    contacts = np.concatenate([deals.account[led] * 3, rng.integers(0, len(company.accounts) * 3, dead)])
    columns = {
        "created": created,
        "qualified": np.concatenate([steps, lone_qualified]),
        "converted": np.concatenate([deals.created[led], np.full(dead, NONE)]),
        "deal": np.concatenate([led, np.full(dead, NONE)]),
        "source": sources,
        "campaign": np.concatenate([deals.campaign[led], lone_campaign]),
        "owner": np.where(holder == NONE, head, holder),
        "contact": contacts,
        "is_dropped": np.concatenate([np.zeros(led.size, dtype=bool), rng.random(dead) < 0.4]),
    }
    later = (columns["campaign"] != NONE) & (start[columns["campaign"]] > created // DAY)
    columns["campaign"] = np.where(later, NONE, columns["campaign"])
    kept = order[created[order] <= company.last_second]
    return Marketing(
        campaign_names=[f"{KINDS[k]} {label}" for k, label in zip(kind, labels, strict=True)],
        campaign_types=[KINDS[k] for k in kind],
        campaign_start=start,
        campaign_days=rng.integers(1, 45, start.size),
        campaign_cost=rng.integers(2_000, 40_000, start.size) * 100,
        **{name: values[kept] for name, values in columns.items()},
    )
