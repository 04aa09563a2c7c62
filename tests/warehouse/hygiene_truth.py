"""Which deals each hygiene rule stands against at an instant, told from the simulation and not from what it wrote.

The demo plants defects and also brings them about by itself: reps forget next steps, leave, push. So the truth of a rule is
its sentence, judged on the simulated tracks of every deal (what was so, second by second) and on the simulated activities;
nothing that was landed, staged or built is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dagster_project.sources.demo import contacts, defects
from dagster_project.sources.demo.activities import CALL, COMPLETED, EMAIL, OPEN, TASK, chunks
from dagster_project.sources.demo.clock import DAY, quarter_start
from dagster_project.sources.demo.company import Company, found
from dagster_project.sources.demo.deals import COMMIT, STAGE_PROBABILITY, Deals, simulate
from dagster_project.sources.demo.marketing import promote
from dagster_project.sources.demo.progress import LOST, NEGOTIATION, PROPOSAL, WON
from dagster_project.sources.demo.records import named
from dagster_project.sources.demo.sizes import SIZES
from dagster_project.sources.demo.tracks import NONE
from dagster_project.sources.demo.truth import deal_ids

RULE_OF = {
    "H01": "overdue_close_date",
    "H02": "no_next_step",
    "H03": "no_recent_activity",
    "H04": "no_amount",
    "H05": "no_contact",
    "H06": "no_economic_buyer",
    "H07": "stage_flag_mismatch",
    "H08": "commit_without_evidence",
    "H09": "close_date_pushed",
    "H10": "no_loss_reason",
    "H11": "owner_inactive",
    "H12": "no_account",
    "H13": "probable_duplicate",
    "H14": "probability_off_stage",
    "H15": "negative_cycle",
    "H16": "amount_changed_after_close",
    "H17": "close_date_backdated",
    "H18": "far_future_close_date",
    "H19": "activity_before_deal",
    "F01": "missing_currency_rate",
    "F02": "unmapped_stage",
}


@dataclass
class Simulated:
    """The company of a size and seed, simulated again as the demo source does."""

    company: Company
    deals: Deals
    records: object
    planted: defects.Planted
    roles: dict[str, np.ndarray]

    @classmethod
    def of(cls, size: str, seed: int, faults: tuple[str, ...] = ()) -> Simulated:
        company = found(SIZES[size], seed)
        deals = simulate(company)
        promote(company, deals)
        records = named(company, deals)
        planted = defects.plant(company, deals, faults)
        roles = defects.without(contacts.roles(company, deals), planted)
        return cls(company, deals, records, planted, roles)

    @cached_property
    def activities(self) -> dict[str, np.ndarray]:
        """deal, day and whether it was done, of every activity: a to-do lies on the day it was done."""
        parts = list(chunks(self.company, self.deals, self.planted.quiet, self.planted.early))
        kind, outcome, at, done, deal = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("kind", "outcome", "at", "done", "deal")
        )
        is_todo, is_open = kind == TASK, outcome == OPEN
        happened = np.isin(kind, (CALL, EMAIL)) | np.where(is_todo, ~is_open, outcome == COMPLETED)
        return {"deal": deal, "day": np.where(is_todo & ~is_open, done, at) // DAY, "done": happened}

    def ids(self, chosen: np.ndarray) -> set[str]:
        return set(deal_ids(self.deals, self.records, np.flatnonzero(chosen)).to_pylist())

    def standing(self, at: int) -> dict[str, set[str]]:
        """Ids of the deals each rule stands against at the end of a day; `at` is the day's last second."""
        return {rule: self.ids(chosen) for rule, chosen in At(self, at).rules().items()}


class At:
    """The company at one instant."""

    def __init__(self, simulated: Simulated, at: int):
        self.simulated, self.at, self.today = simulated, at, at // DAY
        self.deals = simulated.deals
        self.every = np.arange(len(self.deals))
        self.outcome_track = self._outcomes()
        outcome = self.outcome_track(np.full(self.every.size, at))
        self.stage = self.value("stage")
        self.is_live = (
            (self.deals.created <= at) & (self.value("is_deleted") == 0) & (self.value("merged_into") == NONE)
        )
        self.is_live &= ~self.deals.is_test
        self.is_open, self.is_won, self.is_lost = (self.is_live & (outcome == each) for each in range(3))

    def value(self, name: str, at=None) -> np.ndarray:
        return self.deals.tracks[name].value_at(self.every, self.at if at is None else at)

    def _outcomes(self):
        """0 open, 1 won, 2 lost at given instants: the flags where they were set, else the stage."""

        def outcome(at: np.ndarray) -> np.ndarray:
            stage, flags = self.value("stage", at), self.value("flags", at)
            return np.where(flags == NONE, np.select([stage == WON, stage == LOST], [1, 2], 0), flags)

        return outcome

    def label_outcome(self) -> np.ndarray:
        return np.select([self.stage == WON, self.stage == LOST], [1, 2], 0)

    def has_role(self, *roles: int) -> np.ndarray:
        told = self.simulated.roles
        chosen = (told["at"] <= self.at) & np.isin(told["role"], roles)
        found = np.zeros(self.every.size, dtype=bool)
        found[told["deal"][chosen]] = True
        return found

    def last_change_to(self, name: str, values) -> np.ndarray:
        """Second of the newest change of a field to one of these values from another one, NONE where there is none."""
        track = self.deals.tracks[name]
        chosen = np.isin(track.value, values) & ~np.isin(track.before(), values) & (track.at <= self.at)
        chosen |= track.is_first() & np.isin(track.value, values) & (track.at <= self.at)
        newest = np.full(self.every.size, NONE)
        np.maximum.at(newest, track.record[chosen], track.at[chosen])
        return newest

    def rules(self) -> dict[str, np.ndarray]:
        value, today, is_open, is_won = self.value, self.today, self.is_open, self.is_won
        close_day, step, step_day = value("close_day"), value("next_step"), value("next_step_day")
        created_day = self.deals.created // DAY
        won_day = self.last_change_to("stage", [WON]) // DAY
        told = [value(name) == NONE for name in ("champion", "economic_buyer", "timeline", "next_step")]
        nothing = np.logical_and.reduce(told) & (value("budget") != 1)
        is_late = np.isin(self.stage, (PROPOSAL, NEGOTIATION))
        champion, buyer, user = contacts.CHAMPION, contacts.BUYER, contacts.USER
        default = np.array([*STAGE_PROBABILITY, NONE])[self.stage]
        return {
            "overdue_close_date": is_open & (close_day != NONE) & (close_day < today),
            "no_next_step": is_open & ((step == NONE) | ((step_day != NONE) & (step_day < today))),
            "no_recent_activity": is_open & (today - self.quiet_since() > 14),
            "no_amount": is_open & (value("amount") <= 0),
            "no_contact": is_open & ~self.has_role(champion, buyer, user),
            "no_economic_buyer": is_open & is_late & (value("economic_buyer") == NONE) & ~self.has_role(buyer),
            "stage_flag_mismatch": self.is_live & (value("flags") != NONE) & (value("flags") != self.label_outcome()),
            "commit_without_evidence": is_open
            & (value("category") == COMMIT)
            & nothing
            & ~self.has_role(champion, buyer),
            "close_date_pushed": is_open & (self.pushes() >= 3),
            "no_loss_reason": self.is_lost & (value("loss_reason") == NONE),
            "owner_inactive": is_open & ~self.owner_is_there(),
            "no_account": self.is_live & (value("account") == NONE),
            "probable_duplicate": self.duplicates(),
            "probability_off_stage": is_open & (np.abs(value("probability") - default) > 30),
            "negative_cycle": is_won & (close_day != NONE) & (close_day < created_day),
            "amount_changed_after_close": is_won & (value("amount") != value("amount", won_day * DAY + DAY - 1)),
            "close_date_backdated": is_won & (close_day != NONE) & (close_day < quarter_start(won_day)),
            "far_future_close_date": is_open & (close_day - today > 730),
            "activity_before_deal": self.is_live & self.has_early_activity(),
            "missing_currency_rate": np.zeros_like(is_open),
            "unmapped_stage": self.is_live & (self.stage > LOST),
        }

    def quiet_since(self) -> np.ndarray:
        """Day of the last activity, or on which the deal was opened, reopened or restored after it."""
        since = np.maximum(self.deals.created, self.last_change_to("stage", range(WON)))
        since = np.maximum(since, np.where(self.is_live, self.restored(), NONE)) // DAY
        told = self.simulated.activities
        chosen = told["done"] & (told["day"] <= self.today)
        np.maximum.at(since, told["deal"][chosen], told["day"][chosen])
        return since

    def restored(self) -> np.ndarray:
        return self.last_change_to("is_deleted", [0])

    def pushes(self) -> np.ndarray:
        track = self.deals.tracks["close_day"]
        before = track.before()
        later = (before != NONE) & (track.value > before) & (track.at <= self.at)
        record, at = track.record[later], track.at[later]
        stage = self.deals.tracks["stage"].value_at(record, at)
        counts = np.zeros(self.every.size, dtype=int)
        np.add.at(counts, record[stage < WON], 1)
        return counts

    def owner_is_there(self) -> np.ndarray:
        """Somebody who left and was hired again is there, as another user."""
        spells = self.simulated.company.spells
        there = np.unique(spells.person[(spells.start <= self.today) & (spells.end >= self.today)])
        owner = self.value("owner")
        return np.isin(spells.person[np.maximum(owner, 0)], there)

    def duplicates(self) -> np.ndarray:
        """Second records that both count still, where the two say the same list amount when they are entered."""
        copy = np.flatnonzero(self.deals.duplicate_of != NONE)
        first = self.deals.duplicate_of[copy]
        entered = self.value("list_amount", self.deals.created // DAY * DAY + DAY - 1)
        both = ~self.is_lost & self.is_live
        found = np.zeros(self.every.size, dtype=bool)
        found[copy] = both[copy] & both[first] & (entered[copy] == entered[first])
        return found

    def has_early_activity(self) -> np.ndarray:
        told = self.simulated.activities
        early = told["day"] < self.deals.created[told["deal"]] // DAY
        found = np.zeros(self.every.size, dtype=bool)
        found[told["deal"][early]] = True
        return found
