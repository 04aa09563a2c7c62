"""What is wrong in the demo's records: each kind of defect with its sentence, planted in a known number and listed.

Hygiene defects (H) stand against a rule of the metric contract; traps (T) are shapes a warehouse must read rightly;
faults (F) would stop the gate and are planted only where asked for. Which deals are hit never depends on how they go,
beyond their being open, won or lost at the end, so stage truth stays unbiased.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from dagster_project.sources.demo.clock import DAY, NEVER, at_work, generator, quarter_start
from dagster_project.sources.demo.company import CURRENCIES, SMB, Company
from dagster_project.sources.demo.contacts import BUYER
from dagster_project.sources.demo.deals import COMMIT, PIPELINE, Deals, second_company
from dagster_project.sources.demo.emit_salesforce import HISTORY_FIELDS, STAGE_RENAMED, STAGE_REORDERED, UNMAPPED
from dagster_project.sources.demo.parquet import Files, dates, flags, picked
from dagster_project.sources.demo.progress import LOST, NEGOTIATION, OPEN_STAGES, PROPOSAL, QUALIFICATION, WON
from dagster_project.sources.demo.records import Records
from dagster_project.sources.demo.tracks import NONE, Track, stamps

FAR_FUTURE = int(np.datetime64("2099-12-31").astype(int))


@dataclass(frozen=True)
class Kind:
    """One kind of defect. touches: the hygiene rule or metric it bears on; count: planted at the default size."""

    id: str
    sentence: str
    touches: str
    count: int = 0


KINDS = (
    Kind("H01", "An open deal stands past its close date.", "open deal past its close date; stalled_deals", 5),
    Kind("H02", "An open deal has no next step, or one whose date has passed.", "no next step or a past one", 6),
    Kind("H03", "An open deal saw no activity in the last 14 days.", "no activity in 14 days", 5),
    Kind("H04", "An open deal has no amount.", "no amount; counts 0 in the waterfall", 4),
    Kind("H05", "An open deal has no contact.", "no contact", 4),
    Kind("H06", "An open deal at a late stage has no economic buyer.", "no economic buyer at a late stage", 4),
    Kind(
        "H07",
        "The closed and won flags disagree with the stage's label; the flags hold.",
        "stage and flags disagree; win_rate",
        3,
    ),
    Kind("H08", "A deal in Commit has no evidence behind it.", "commit without evidence; forecast.evidence", 4),
    Kind("H09", "An open deal's close date was pushed three times or more.", "pushed three times or more", 4),
    Kind("H10", "A lost deal carries no loss reason.", "closed with no reason", 5),
    Kind("H11", "An open deal belongs to somebody who has left.", "owner inactive", 3),
    Kind("H12", "A deal has no account.", "account missing", 3),
    Kind("H13", "A deal is a second record of another and was never merged.", "probable duplicate deal"),
    Kind("H14", "A deal's probability is at odds with its stage.", "probability at odds with stage", 4),
    Kind("H15", "A won deal's close date lies before its creation.", "negative cycle; never averaged", 3),
    Kind("H16", "The amount was changed after the deal was won.", "amount changed after close; reconciliation", 4),
    Kind("H17", "The close date was moved back after the close, into the quarter before.", "close date backdated", 3),
    Kind("H18", "An open deal's close date lies beyond any plan.", "far-future close date", 2),
    Kind("H19", "An activity is dated before the deal it belongs to.", "activity before the deal", 4),
    Kind("T01", "History rows arrived a week or two after their stamp.", "restatements; learned_at", 8),
    Kind("T02", "A deal was merged into one that was itself merged.", "merged_amount; survivor of survivor", 2),
    Kind("T03", "A deal was deleted and restored.", "deleted_amount, restored_amount"),
    Kind("T04", "A stage was renamed.", "dim_stages"),
    Kind("T05", "A stage was moved in the order in the middle of a quarter.", "dim_stages; stage_conversion"),
    Kind("T06", "A person who came back has a second user with the same e-mail.", "int_users_matched; spells"),
    Kind("T07", "A test deal, excluded by the seed.", "exclusions"),
    Kind("T08", "An archived HubSpot deal whose modified date did not move.", "deleted_amount"),
    Kind("T09", "A HubSpot deal synced to Salesforce counts once.", "int_opportunities_matched"),
    Kind("T10", "A deal changed its currency.", "currency_amount", 3),
    Kind("T11", "Two contacts share one e-mail address.", "int_contacts_matched", 3),
    Kind("T12", "A deal was opened and closed on one day.", "waterfall: one event shows both"),
    Kind("T13", "A deal was won without ever being in pipeline.", "attainment against won_amount"),
    Kind("T14", "A deal was reopened after it was closed.", "reopened_amount; win_rate"),
    Kind("T15", "A deal went back to a stage before pipeline.", "withdrawn_amount"),
    Kind("T16", "An open deal has no close date.", "target quarter unscheduled", 3),
    Kind("T17", "A deal was merged into another.", "merged_amount"),
    Kind("T18", "A HubSpot deal has two companies.", "deal_company fan-out"),
    Kind("T19", "A person is on leave, which is no departure.", "rep_retention"),
    Kind("T20", "A rep changed team.", "reassigned amounts at team level"),
    Kind("F01", "An open deal's currency has no rate.", "missing currency rate; error at the gate"),
    Kind("F02", "An open deal's stage is in no stage table.", "unmapped stage; error at the gate"),
)
FAULTS = {"missing_rate": "F01", "unmapped_stage": "F02"}


@dataclass
class Planted:
    """The list of defects, and what later steps must do for them."""

    rows: list[tuple] = field(default_factory=list)
    quiet: np.ndarray | None = None  # deals without late activity
    early: np.ndarray | None = None  # deals with an activity before them
    no_roles: np.ndarray | None = None
    no_buyer: np.ndarray | None = None
    late: dict[str, np.ndarray] = field(default_factory=dict)

    def note(self, kind: str, deal: Iterable[int], what: str, day, note: str, is_decidable: bool = True) -> None:
        day = np.broadcast_to(day, np.shape(deal))
        self.rows += [
            (kind, int(each), what, int(when), note, is_decidable) for each, when in zip(deal, day, strict=True)
        ]


def overridden(track: Track, record: np.ndarray, at: np.ndarray, value) -> Track:
    """The track with the records' changes from `at` on replaced by one value."""
    until = np.full(int(max(track.record.max(initial=0), np.max(record, initial=0))) + 1, NEVER * DAY)
    until[record] = at
    return track.only(track.at < until[track.record]).plus(record, at, value)


class Planter:
    """Plants each kind on deals of its own."""

    def __init__(self, company: Company, deals: Deals, faults: tuple[str, ...]):
        self.company, self.deals, self.faults = company, deals, faults
        self.rng = generator(company.seed, "defects")
        self.now, self.planted = company.last_second, Planted()
        n = len(deals)
        every = np.arange(n)
        self.stage = deals.tracks["stage"].value_at(every, np.full(n, self.now))
        at_end = deals.tracks["is_deleted"].value_at(every, np.full(n, self.now))
        known = (deals.created <= self.now) & (at_end == 0) & (deals.removed > self.now) & ~deals.is_test
        known &= (deals.duplicate_of == NONE) & ~deals.is_synced
        known[deals.duplicate_of[deals.duplicate_of != NONE]] = False
        self.is_open = known & (self.stage < OPEN_STAGES) & (deals.created < self.now - 50 * DAY)
        self.is_settled = (
            known & (self.stage >= OPEN_STAGES) & (deals.closed < self.now - 40 * DAY) & ~deals.is_same_day
        )
        self.is_settled &= deals.first_stage != WON
        self.free = np.ones(n, dtype=bool)
        for name in ("quiet", "early", "no_roles", "no_buyer"):
            setattr(self.planted, name, np.zeros(n, dtype=bool))

    def some(self, kind: str, fits: np.ndarray) -> np.ndarray:
        """Deals for one kind, each used once."""
        count = next(each.count for each in KINDS if each.id == kind)
        count = max(1, round(count * self.company.size.defect_scale))
        pool = np.flatnonzero(fits & self.free)
        chosen = np.sort(self.rng.choice(pool, min(count, pool.size), replace=False))
        self.free[chosen] = False
        return chosen

    def set(self, name: str, deal: np.ndarray, at: np.ndarray, value) -> None:
        self.deals.tracks[name] = overridden(self.deals.tracks[name], deal, at, value)

    def ago(self, low: int, high: int, deal: np.ndarray) -> np.ndarray:
        return at_work(self.rng, self.company.last_day - self.rng.integers(low, high, deal.size))

    def plant(self) -> Planted:
        for step in (
            self.asked_faults,
            self.open_deals,
            self.late_stage_deals,
            self.closed_deals,
            self.odd_deals,
            self.chains,
            self.natural,
            self.late_history,
        ):
            step()
        return self.planted

    def open_deals(self) -> None:
        note, today = self.planted.note, self.company.last_day
        is_open, created = self.is_open, self.deals.created
        deal = self.some("H01", is_open)
        self.set("close_day", deal, self.ago(30, 42, deal), today - self.rng.integers(4, 25, deal.size))
        note("H01", deal, "close_date", today, "close date passed, never pushed")
        deal = self.some("H02", is_open)
        half = deal[::2]
        self.set("next_step", half, created[half], NONE)
        self.set("next_step_day", half, created[half], NONE)
        rest = deal[1::2]
        self.set("next_step_day", rest, self.ago(25, 35, rest), today - self.rng.integers(6, 20, rest.size))
        (
            note("H02", half, "next_step", today, "no next step"),
            note("H02", rest, "next_step_date", today, "next step passed"),
        )
        deal = self.some("H03", is_open)
        self.planted.quiet[deal] = True
        note("H03", deal, "activity", today, "none for 21 days")
        deal = self.some("H04", is_open)
        self.set("amount", deal, created[deal], NONE)
        note("H04", deal, "amount", created[deal] // DAY, "never had an amount")
        deal = self.some("H05", is_open)
        self.planted.no_roles[deal] = True
        note("H05", deal, "contact", today, "no contact role")
        deal = self.some("H09", is_open)
        for ahead, days in ((30, 35), (20, 70), (10, 110)):
            at = at_work(self.rng, np.full(deal.size, today - ahead))
            self.set("close_day", deal, at, today + days - self.rng.integers(0, 9, deal.size))
        note("H09", deal, "close_date", today, "three pushes in a month, at least two of them to later dates")
        deal = self.some("H18", is_open)
        self.set("close_day", deal, self.ago(10, 40, deal), FAR_FUTURE)
        note("H18", deal, "close_date", today, "2099")
        deal = self.some("T16", is_open & (self.deals.segment == SMB))
        self.set("close_day", deal, created[deal], NONE)
        note("T16", deal, "close_date", today, "never had one")
        left = self.company.spells.end[self.deals.spell] < today - 3
        deal = self.some("H11", is_open & left)
        self.set("owner", deal, created[deal], self.deals.spell[deal])
        note("H11", deal, "owner_id", self.company.spells.end[self.deals.spell[deal]] + 1, "not handed over")

    def late_stage_deals(self) -> None:
        note, today = self.planted.note, self.company.last_day
        late = self.is_open & ((self.stage == PROPOSAL) | (self.stage == NEGOTIATION))
        deal = self.some("H06", late)
        self.set("economic_buyer", deal, self.deals.created[deal], NONE)
        self.planted.no_buyer[deal] = True
        note("H06", deal, "economic_buyer", today, "neither a field nor a role")
        deal = self.some("H08", late)
        for name in ("champion", "economic_buyer", "timeline", "next_step", "next_step_day"):
            self.set(name, deal, self.deals.created[deal], NONE)
        self.set("budget", deal, self.deals.created[deal], NONE)
        self.set("category", deal, self.ago(8, 20, deal), COMMIT)
        self.planted.no_roles[deal] = True
        note("H08", deal, "forecast_category", today, "hope: nothing behind the commit")
        in_salesforce = self.is_open & self.deals.in_salesforce
        deal = self.some("H14", in_salesforce & ((self.stage == QUALIFICATION) | (self.stage == NEGOTIATION)))
        self.set("probability", deal, self.ago(5, 20, deal), np.where(self.stage[deal] == QUALIFICATION, 90, 5))
        note("H14", deal, "probability", today, "90 % at the first stage, or 5 % at the last")

    def closed_deals(self) -> None:
        note, deals, rng = self.planted.note, self.deals, self.rng
        is_won, is_lost = self.is_settled & (self.stage == WON), self.is_settled & (self.stage == LOST)
        closed = deals.closed
        deal = self.some("H07", is_won & deals.is_won)
        deals.tracks["flags"] = deals.tracks["flags"].plus(deal, closed[deal], 2)
        note("H07", deal, "is_won", closed[deal] // DAY, "label says won, flags say lost")
        deal = self.some("H10", is_lost)
        deals.tracks["loss_reason"] = overridden(deals.tracks["loss_reason"], deal, deals.created[deal], NONE)
        note("H10", deal, "loss_reason", closed[deal] // DAY, "no reason")
        deal = self.some("H16", is_won & deals.is_won)
        after = at_work(rng, closed[deal] // DAY + rng.integers(4, 25, deal.size))
        value = deals.tracks["amount"].value_at(deal, after)
        changed = np.round(value * rng.choice((0.85, 0.9, 1.1), deal.size) / 100).astype(np.int64) * 100
        self.set("amount", deal, after, np.where(value == NONE, NONE, changed))
        note("H16", deal, "amount", after // DAY, "edited after the win")
        opens = quarter_start(closed // DAY)
        first = is_won & deals.is_won & (closed // DAY - opens < 21) & (deals.created // DAY < opens - 20)
        deal = self.some("H17", first)
        after = at_work(rng, closed[deal] // DAY + rng.integers(2, 6, deal.size))
        self.set("close_day", deal, after, opens[deal] - 1)
        note("H17", deal, "close_date", after // DAY, "moved into the quarter before")
        instant = (
            (deals.first_stage == WON) & (deals.removed > self.now) & (deals.created <= self.now) & ~deals.is_synced
        )
        deal = self.some("H15", instant & (deals.duplicate_of == NONE))
        self.set("close_day", deal, deals.created[deal], deals.created[deal] // DAY - rng.integers(5, 20, deal.size))
        note("H15", deal, "close_date", deals.created[deal] // DAY, "closed before it was created", False)

    def odd_deals(self) -> None:
        note, deals, rng = self.planted.note, self.deals, self.rng
        deal = self.some("H12", self.is_open & deals.in_salesforce)
        self.set("account", deal, deals.created[deal], NONE)
        note("H12", deal, "account_id", deals.created[deal] // DAY, "never had one")
        deal = self.some("H19", (self.is_open | self.is_settled) & (deals.first_stage < OPEN_STAGES))
        self.planted.early[deal] = True
        note("H19", deal, "activity", deals.created[deal] // DAY - 5, "five days before the deal")
        foreign = self.is_open & (deals.currency > 0)
        deal = self.some("T10", foreign)
        at = at_work(rng, self.company.last_day - rng.integers(12, 40, deal.size))
        other = 3 - deals.currency[deal]
        amount = deals.tracks["amount"].value_at(deal, at)
        day = at // DAY
        ratio = self.company.plan_rate(day, other) / self.company.plan_rate(day, deals.currency[deal])
        self.set("currency", deal, at, other)
        self.set("amount", deal, at, np.where(amount == NONE, NONE, np.round(amount * ratio).astype(np.int64)))
        note("T10", deal, "currency_code", day, "EUR and GBP swapped")
        self.deals.tracks = deals.tracks

    def chains(self) -> None:
        """The survivor of a merge is merged in its turn, into another deal of its territory."""
        deals = self.deals
        wanted = max(1, round(2 * self.company.size.defect_scale))
        survives = (
            (deals.removed > self.now) & (deals.duplicate_of == NONE) & ~deals.is_synced & ~deals.is_test & self.free
        )
        chained: list[int] = []
        for first in np.flatnonzero((deals.merged_into != NONE) & (deals.removed < self.now - 25 * DAY)):
            middle, when = deals.merged_into[first], deals.removed[first]
            if len(chained) == wanted or deals.removed[middle] < NEVER * DAY or deals.closed[middle] < when + 12 * DAY:
                continue
            near = survives & (deals.seat == deals.seat[middle]) & (deals.created < when) & (deals.closed > when)
            near = np.setdiff1d(np.flatnonzero(near), [*chained, middle])
            if near.size:
                deals.removed[middle], deals.merged_into[middle] = int(at_work(self.rng, when // DAY + 9)), near[0]
                chained.append(int(middle))
                self.planted.note(
                    "T02", [first], "merged_into_id", deals.removed[middle] // DAY, "its survivor was merged too"
                )
        deals.tracks = {
            name: track.only(track.at <= deals.removed[track.record]) for name, track in deals.tracks.items()
        }
        for name, value in (("is_deleted", 1), ("merged_into", deals.merged_into[chained])):
            deals.tracks[name] = deals.tracks[name].plus(chained, deals.removed[chained], value)

    def natural(self) -> None:
        """What the simulation brings by itself, listed too."""
        deals, note, now = self.deals, self.planted.note, self.now
        seen, is_copy = deals.created <= now, deals.duplicate_of != NONE
        has_second = second_company(self.company, deals) != NONE
        for kind, chosen, what, day, text in (
            ("H13", is_copy & (deals.merged_into == NONE) & (deals.removed > now), "opportunity", deals.created, "2nd"),
            ("T07", deals.is_test, "opportunity", deals.created, "excluded by seed"),
            ("T08", deals.in_hubspot & (deals.removed <= now), "archived", deals.removed, "modified date did not move"),
            ("T09", deals.is_synced, "salesforce_opportunity_id", deals.created, "counts once, Salesforce leads"),
            ("T12", deals.is_same_day, "stage", deals.created, "opened and closed in a day"),
            ("T13", deals.first_stage == WON, "stage", deals.created, "opened as won"),
            ("T17", (deals.merged_into != NONE) & (deals.removed <= now), "merged_into_id", deals.removed, "merged"),
            ("T18", deals.in_hubspot & has_second, "deal_company", deals.created, "two companies"),
        ):  # fmt: skip
            found = np.flatnonzero(chosen & seen)
            note(kind, found, what, day[found] // DAY, text)
        for kind, name, before, after, text in (
            ("T03", "is_deleted", (1,), (0,), "restored"),
            ("T14", "stage", (WON, LOST), range(OPEN_STAGES), "reopened"),
            ("T15", "stage", range(1, OPEN_STAGES), (0,), "withdrawn"),
        ):
            track = deals.tracks[name]
            hit = np.isin(track.before(), list(before)) & np.isin(track.value, list(after)) & (track.at <= now)
            note(kind, track.record[hit], name, track.at[hit] // DAY, text)

    def asked_faults(self) -> None:
        for fault in self.faults:
            deal = np.flatnonzero(self.is_open & self.deals.in_salesforce & self.free)[:1]
            self.free[deal] = False
            if fault == "missing_rate":
                self.set("currency", deal, self.deals.created[deal], len(CURRENCIES) - 1)
                self.planted.note("F01", deal, "currency_code", self.deals.created[deal] // DAY, "SEK has no rate")
            if fault == "unmapped_stage":
                at = self.ago(8, 12, deal)
                self.set("stage", deal, at, UNMAPPED)
                self.set("category", deal, at, PIPELINE)
                self.planted.note("F02", deal, "stage", at // DAY, "Legacy Review")

    def late_history(self) -> None:
        """Changes with a quiet fortnight after them, whose history row is loaded only later."""
        deals, rng = self.deals, self.rng
        record, at = stamps(*(deals.tracks[name] for name in HISTORY_FIELDS))
        quiet = np.zeros(record.size, dtype=bool)
        quiet[:-1] = (record[1:] == record[:-1]) & (at[1:] - at[:-1] > 17 * DAY)
        quiet[1:] &= record[1:] == record[:-1]
        quiet[0] = False
        quiet &= (
            (at < self.now - 20 * DAY)
            & self.free[record]
            & ~deals.is_synced[record]
            & (deals.removed[record] > self.now)
        )
        quiet &= deals.tracks["stage"].value_at(record, at) < OPEN_STAGES
        count = max(2, round(8 * self.company.size.defect_scale))
        row = np.sort(rng.choice(np.flatnonzero(quiet), min(count, int(quiet.sum())), replace=False))
        self.planted.late = {"record": record[row], "at": at[row], "days": rng.integers(7, 15, row.size)}
        self.planted.note("T01", record[row], "history", at[row] // DAY, "loaded one to two weeks late")


def plant(company: Company, deals: Deals, faults: tuple[str, ...]) -> Planted:
    """Change the deals' tracks and say what was done."""
    return Planter(company, deals, faults).plant()


def without(roles: dict[str, np.ndarray], planted: Planted) -> dict[str, np.ndarray]:
    """The contact roles less those of deals planted without them."""
    gone = planted.no_roles[roles["deal"]] | (planted.no_buyer[roles["deal"]] & (roles["role"] == BUYER))
    return {name: values[~gone] for name, values in roles.items()}


def write(files: Files, company: Company, deals: Deals, records: Records, planted: Planted) -> None:
    """Truth tables `defects` (one row a defect) and `defect_kinds`."""
    rows = sorted(planted.rows, key=lambda row: (row[0], row[1], row[3]))
    deal = np.array([row[1] for row in rows])
    in_salesforce = deals.in_salesforce[deal]
    system = ["salesforce" if here else "hubspot" for here in in_salesforce]
    ids = picked(records.deal_ids, deal).to_pylist()
    hub = picked(records.hubspot_deal_ids, deal).to_pylist()
    kinds, ids = (
        [row[0] for row in rows],
        [a if here else b for a, b, here in zip(ids, hub, in_salesforce, strict=True)],
    )
    what, day = [row[2] for row in rows], [row[3] for row in rows]
    notes, decidable = [row[4] for row in rows], [row[5] for row in rows]
    for kind, in_system, record, name, when, text in others(company, records):
        if when <= company.last_day:
            kinds.append(kind), system.append(in_system), ids.append(record), what.append(name), day.append(when)
            notes.append(text), decidable.append(True)
    files.write_truth(
        "defects",
        {
            "defect_id": pa.array(kinds),
            "source_system": pa.array(system),
            "record_id": pa.array(ids),
            "field": pa.array(what),
            "day": dates(day),
            "note": pa.array(notes),
            "is_decidable": flags(np.array(decidable)),
        },
    )
    files.write_truth(
        "defect_kinds",
        {
            "defect_id": pa.array([kind.id for kind in KINDS]),
            "sentence": pa.array([kind.sentence for kind in KINDS]),
            "touches": pa.array([kind.touches for kind in KINDS]),
        },
    )


def others(company: Company, records: Records) -> Iterable[tuple[str, str, str, str, int, str]]:
    """Defects of records that are no deals: kind, system, record, field, day, note."""
    spells = company.spells
    for day, kind, text in (
        (STAGE_RENAMED, "T04", "Discovery became Solution Fit"),
        (STAGE_REORDERED, "T05", "an unused stage moved"),
    ):
        yield kind, "salesforce", "Discovery" if kind == "T04" else "Value Proposition", "stage", int(day), text
    _, first = np.unique(spells.person, return_index=True)
    again = np.setdiff1d(np.arange(len(spells)), first)
    for spell in again:
        same = np.flatnonzero(spells.person == spells.person[spell])
        if np.unique(spells.user[same]).size > 1:
            newest = same[np.argmax(spells.start[same])]
            yield (
                "T06",
                "salesforce",
                records.user_ids[int(spells.user[newest])].as_py(),
                "Email",
                int(spells.start[newest]),
                "came back",
            )
    for spell in np.flatnonzero(spells.leave_from < NEVER):
        yield (
            "T19",
            "salesforce",
            records.user_ids[int(spells.user[spell])].as_py(),
            "status",
            int(spells.leave_from[spell]),
            "on leave",
        )
    for spell in np.flatnonzero(spells.move_day < NEVER):
        yield (
            "T20",
            "salesforce",
            records.user_ids[int(spells.user[spell])].as_py(),
            "team",
            int(spells.move_day[spell]),
            "changed team",
        )
    for contact in records.shared_emails:
        yield (
            "T11",
            "salesforce",
            records.contact_ids[int(contact)].as_py(),
            "Email",
            company.first_day,
            "e-mail of another contact",
        )
