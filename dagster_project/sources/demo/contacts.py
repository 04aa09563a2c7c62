"""Who of the buyer is on a deal: roles set as it advances. Good deals have a real champion, hopeful claims none."""

from __future__ import annotations

import numpy as np

from dagster_project.sources.demo.clock import DAY, generator
from dagster_project.sources.demo.company import CONTACTS_PER_ACCOUNT, Company
from dagster_project.sources.demo.deals import Deals
from dagster_project.sources.demo.progress import DISCOVERY, PROPOSAL
from dagster_project.sources.demo.tracks import NONE

CHAMPION, BUYER, USER = range(3)
NO_CONTACT_SHARE = 0.04


def roles(company: Company, deals: Deals) -> dict[str, np.ndarray]:
    """deal, contact, role, at of each role known by the as-of instant, in load order."""
    rng = generator(company.seed, "roles")
    n, stays = len(deals), deals.stays
    merit = 1 / (1 + np.exp(-1.1 * deals.quality))
    has_any = rng.random(n) > NO_CONTACT_SHARE
    first = np.flatnonzero(has_any & (deals.first_stage < 5))
    parts = [(first, np.full(first.size, USER), deals.created[first] + 600)]
    for role, stage, share in ((CHAMPION, DISCOVERY, 0.85), (BUYER, PROPOSAL, 0.7)):
        at_stage = np.flatnonzero(stays["stage"] == stage)
        deal = stays["deal"][at_stage]
        chosen = (rng.random(deal.size) < share * merit[deal]) & has_any[deal]
        at = stays["entered_at"][at_stage] + np.minimum(
            2 * DAY, (stays["left_at"] - stays["entered_at"])[at_stage] // 2
        )
        parts.append((deal[chosen], np.full(int(chosen.sum()), role), at[chosen]))
    deal, role, at = (np.concatenate(values) for values in zip(*parts, strict=True))
    kept = (at <= company.last_second) & (at <= deals.removed[deal]) & (deals.account[deal] != NONE)
    deal, role, at = deal[kept], role[kept], at[kept]
    order = np.lexsort((deal, at // DAY))
    deal, role, at = deal[order], role[order], at[order]
    return {"deal": deal, "role": role, "at": at, "contact": deals.account[deal] * CONTACTS_PER_ACCOUNT + role}
