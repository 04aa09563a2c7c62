"""Calls, e-mails, meetings, demos and to-dos around each deal, and which systems they were logged in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from dagster_project.sources.demo.clock import DAY, continuous, generator, working
from dagster_project.sources.demo.company import CONTACTS_PER_ACCOUNT, Company
from dagster_project.sources.demo.deals import Deals

KINDS = ("call", "email", "meeting", "demo", "task")
CALL, EMAIL, MEETING, DEMO, TASK = range(5)
KIND_SHARES = (0.33, 0.37, 0.14, 0.06, 0.10)
THEATRE_SHARES = (0.42, 0.46, 0.04, 0.01, 0.07)
THEATRE_VOLUME = 2.3
RECORDED_SHARE = 0.45  # of the real conversations, in Gong
LOGGED_TOO_SHARE = 0.65  # of the recorded ones, logged in the CRM as well
BOTH_CRMS_SHARE = 0.3  # of the activities of synced deals, in HubSpot and Salesforce
ROWS_PER_CHUNK = 400_000
OUTCOMES = ("completed", "no_show", "canceled", "connected", "no_answer", "voicemail", "sent", "open")
COMPLETED, NO_SHOW, CANCELED, CONNECTED, NO_ANSWER, VOICEMAIL, SENT, OPEN = range(8)


@dataclass
class Activities:
    """A chunk of activities, in the order of their deals."""

    number: np.ndarray  # unique over all chunks
    deal: np.ndarray
    spell: np.ndarray  # who did it
    contact: np.ndarray
    kind: np.ndarray
    at: np.ndarray  # start; for a to-do, when it was written
    seconds: np.ndarray
    is_inbound: np.ndarray
    outcome: np.ndarray
    done: np.ndarray  # second a to-do was done; start plus length otherwise
    due: np.ndarray  # day, to-dos
    in_gong: np.ndarray
    in_crm: np.ndarray
    in_both: np.ndarray
    planned: np.ndarray  # day a meeting was put in the calendar and loaded as scheduled, or the day it happened

    def where(self, keep: np.ndarray) -> Activities:
        return Activities(**{each.name: getattr(self, each.name)[keep] for each in fields(self)})

    def __len__(self) -> int:
        return self.number.size


def chunks(company: Company, deals: Deals, quiet: np.ndarray, early: np.ndarray) -> Iterator[Activities]:
    """All activities until the as-of instant; `quiet` deals have none in the three weeks before it,
    `early` ones have one before they were opened."""
    emitted = int(np.searchsorted(deals.created, company.last_second, side="right"))
    step = max(1, int(ROWS_PER_CHUNK / company.size.activities_per_deal))
    number = 0
    for part, low in enumerate(range(0, emitted, step)):
        rng = generator(company.seed, "activities", part)
        chunk = drawn(rng, company, deals, np.arange(low, min(low + step, emitted)), number, quiet, early)
        number += len(chunk)
        yield chunk


def drawn(rng, company: Company, deals: Deals, deal: np.ndarray, number: int, quiet, early) -> Activities:
    spells = company.spells
    opens = continuous(deals.created[deal])
    until = np.minimum(deals.closed[deal], deals.removed[deal])
    closes = continuous(np.maximum(until, deals.created[deal]))
    days = (closes - opens) / DAY
    typical = np.array([110.0, 62.0, 35.0])[deals.segment[deal]]
    theatre = spells.is_theatre[deals.spell[deal]]
    mean = company.size.activities_per_deal * (0.4 + 0.75 * np.minimum(days / typical, 3.0))
    mean *= np.exp(0.25 * deals.quality[deal]) * rng.gamma(4, 0.25, deal.size) * np.where(theatre, THEATRE_VOLUME, 1.0)
    row = np.repeat(np.arange(deal.size), rng.poisson(mean))
    at = working(opens[row] + rng.random(row.size) * (closes - opens)[row])
    at = np.maximum(at, deals.created[deal][row] + 120)
    silent = quiet[deal[row]] & (at > company.last_second - 21 * DAY)
    kept = (at <= company.last_second) & ~silent & (deals.first_stage[deal[row]] < 5)
    row, at = row[kept], at[kept]
    n, of = row.size, deal[row]
    first = np.append(True, row[1:] != row[:-1])[:n] & early[of]
    at = np.where(first, deals.created[of] - 5 * DAY, at)
    theatre = theatre[row]
    luck = rng.random(n)
    kind = np.where(
        theatre, np.searchsorted(np.cumsum(THEATRE_SHARES), luck), np.searchsorted(np.cumsum(KIND_SHARES), luck)
    )
    kind = np.minimum(kind, TASK)
    merit = np.where(theatre, 0.1, 1 / (1 + np.exp(-deals.quality[of])))
    luck = rng.random(n)
    outcome = np.full(n, SENT)
    is_call, is_talk = kind == CALL, (kind == MEETING) | (kind == DEMO)
    outcome[is_call] = np.where(luck < 0.25 + 0.4 * merit, CONNECTED, np.where(luck < 0.85, NO_ANSWER, VOICEMAIL))[
        is_call
    ]
    outcome[is_talk] = np.where(luck < 0.78 + 0.15 * merit, COMPLETED, np.where(luck < 0.96, NO_SHOW, CANCELED))[
        is_talk
    ]
    is_todo = kind == TASK
    outcome[is_todo] = np.where(luck < 0.78, COMPLETED, OPEN)[is_todo]
    seconds = np.where(is_call, np.where(outcome == CONNECTED, rng.integers(120, 1800, n), rng.integers(5, 60, n)), 0)
    seconds = np.where(is_talk, rng.choice((1800, 2700, 3600), n), seconds)
    due = at // DAY + rng.integers(1, 11, n)
    done = np.where(is_todo, due * DAY + rng.integers(-DAY // 2, 2 * DAY, n), at + seconds)
    done = np.maximum(done, at + seconds)
    late = is_todo & (done > company.last_second)
    outcome = np.where(late, OPEN, outcome)
    talked = (is_talk & (outcome == COMPLETED)) | (is_call & (outcome == CONNECTED) & (seconds > 240))
    in_gong = talked & (rng.random(n) < RECORDED_SHARE)
    is_smb_synced = deals.is_synced[of]
    who = rng.random(n)
    buyer = 0.08 + 0.25 * merit
    person = np.where(who < buyer, 1, np.where(who < buyer + 0.25 + 0.35 * merit, 0, 2))
    booked = is_talk & (rng.random(n) < 0.2)
    planned = np.where(
        booked, np.maximum(at // DAY - rng.integers(1, 8, n), np.minimum(deals.created[of], at) // DAY), at // DAY
    )
    return Activities(
        number=number + np.arange(n),
        deal=of,
        spell=deals.tracks["owner"].value_at(of, np.maximum(at, deals.created[of])),
        contact=deals.account[of] * CONTACTS_PER_ACCOUNT + person,
        kind=kind,
        at=at,
        seconds=seconds,
        is_inbound=((kind == EMAIL) & (rng.random(n) < 0.1 + 0.4 * merit)) | (is_call & (rng.random(n) < 0.08)),
        outcome=outcome,
        done=done,
        due=due,
        in_gong=in_gong,
        in_crm=~in_gong | (rng.random(n) < LOGGED_TOO_SHARE),
        in_both=is_smb_synced & (rng.random(n) < BOTH_CRMS_SHARE),
        planned=planned,
    )
