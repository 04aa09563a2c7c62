"""The deals: who opened them, how they moved, what they were worth, and every field of theirs that changed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dagster_project.sources.demo.clock import (
    DAY,
    MONTH_DAYS,
    NEVER,
    at_work,
    continuous,
    generator,
    is_weekday,
    month_end,
    quarter_end,
    working,
)
from dagster_project.sources.demo.company import BEYOND_DAYS, CONTACTS_PER_ACCOUNT, REP, SMB, Company, Spells
from dagster_project.sources.demo.progress import (
    DISCOVERY,
    LOST,
    NEGOTIATION,
    OPEN_STAGES,
    PROPOSAL,
    PROSPECTING,
    QUALIFICATION,
    SOURCES,
    TYPES,
    WON,
    walk,
)
from dagster_project.sources.demo.tracks import NONE, Track

DEALS_A_MONTH = (2.6, 4.6, 7.0)  # of a mature rep, by segment
RAMP_FLOOR, RAMP_SHAPE, RAMP_MONTHS = (
    0.15,
    1.5,
    1.8,
)  # productivity = floor + (1 - floor)(1 - exp(-(t speed / months)^shape))
MEDIAN_LIST = (68_000, 22_000, 6_500)  # dollars
LIST_SIGMA = 0.55
SOURCE_SHARES = (0.30, 0.34, 0.10, 0.14, 0.12)
TYPE_SHARES = (0.72, 0.18, 0.10)
FIRST_STAGE_SHARES = (0.38, 0.52, 0.10)
INSTANT_WIN_SHARE, SAME_DAY_SHARE = 0.005, 0.005
REVISED_SHARE, NO_AMOUNT_SHARE, NO_CLOSE_DATE_SHARE = 0.45, 0.05, 0.08
REGRESS_SHARE, WITHDRAW_SHARE = 0.06, 0.05
REOPEN_LOST_SHARE, REOPEN_WON_SHARE = 0.016, 0.006
DELETED_SHARE = 0.015
MERGED_SHARE = 0.75  # of the second records
REMOVAL_DAYS = 70  # mean days to a deletion or merge, of deals chosen blindly
KEEPS_OWNER_SHARE = 0.04  # of the deals of a leaver nobody hands over
TERRITORY_MOVE_SHARE = 0.04
SYNCED_SHARE = 0.65  # of the SMB deals of accounts known to both CRMs
TEST_DEALS = 4
PRODUCTS = ("Core", "Plus", "Platform", "Services")
CATEGORIES = ("Pipeline", "Best Case", "Most Likely", "Commit", "Omitted", "Closed")
PIPELINE, BEST_CASE, MOST_LIKELY, COMMIT, OMITTED, CLOSED = range(6)
STAGE_PROBABILITY = (5, 15, 30, 55, 80, 100, 0)
COMPETITORS = ("Norvik", "Castellan", "Ostara", "In-house build")
LOSS_REASONS = (
    "Price",
    "No decision",
    "Lost to competitor",
    "Missing feature",
    "Timing",
    "Budget withdrawn",
    "Duplicate",
)
NEXT_STEPS = (
    "Send proposal",
    "Book demo",
    "Call sponsor",
    "Review contract",
    "Meet finance",
    "Confirm scope",
    "Follow up",
)


@dataclass
class Deals:
    """One row a deal, in order of creation; `stays` one row a stay in a stage, beyond the as-of day too."""

    spell: np.ndarray  # the first owner's employment
    seat: np.ndarray
    segment: np.ndarray
    created: np.ndarray
    quality: np.ndarray
    skill: np.ndarray
    source: np.ndarray
    kind: np.ndarray
    first_stage: np.ndarray
    list_usd: np.ndarray
    revision: np.ndarray
    discount: np.ndarray
    product: np.ndarray
    duplicate_of: np.ndarray
    is_test: np.ndarray
    is_same_day: np.ndarray
    stays: dict[str, np.ndarray] = field(default_factory=dict)
    closed: np.ndarray | None = None  # second of the first close
    is_won: np.ndarray | None = None
    won_usd: np.ndarray | None = None
    last_discount: np.ndarray | None = None
    account: np.ndarray | None = None
    currency: np.ndarray | None = None
    is_synced: np.ndarray | None = None
    in_salesforce: np.ndarray | None = None
    in_hubspot: np.ndarray | None = None
    removed: np.ndarray | None = None  # second of a deletion or merge for good
    merged_into: np.ndarray | None = None
    campaign: np.ndarray | None = None
    tracks: dict[str, Track] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.created.size


def productivity(tenure_months: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Share of a mature rep's deals opened at a tenure; the known ramp."""
    grown = 1 - np.exp(-((np.maximum(tenure_months, 0) * speed / RAMP_MONTHS) ** RAMP_SHAPE))
    return RAMP_FLOOR + (1 - RAMP_FLOOR) * grown


def openings(rng: np.random.Generator, spells: Spells, first_day: int, until: int) -> tuple[np.ndarray, np.ndarray]:
    """Spell and second of each deal opened: a Poisson stream on weekdays, thinned by ramp and leave."""
    low, high = np.maximum(spells.start, first_day), np.minimum(spells.end, until)
    days = np.where(spells.role == REP, np.maximum(high - low + 1, 0), 0)
    rate = np.array(DEALS_A_MONTH)[spells.segment] * spells.potential / MONTH_DAYS * 7 / 5
    spell = np.repeat(np.arange(len(spells)), rng.poisson(rate * days))
    day = low[spell] + (rng.random(spell.size) * days[spell]).astype(np.int64)
    pace = productivity((day - spells.start[spell]) / MONTH_DAYS, spells.ramp_speed[spell])
    kept = is_weekday(day) & (rng.random(spell.size) < pace) & ~spells.is_on_leave(spell, day)
    return spell[kept], at_work(rng, day[kept])


def drawn(rng: np.random.Generator, spells: Spells, spell, created, duplicate_of=None, is_test=None) -> Deals:
    """Deals with all that was settled when they were opened."""
    n = spell.size
    segment = spells.segment[spell]
    luck = rng.random(n)
    first_stage = rng.choice(3, n, p=FIRST_STAGE_SHARES)
    deals = Deals(
        spell=spell,
        seat=spells.seat[spell],
        segment=segment,
        created=created,
        quality=rng.standard_normal(n),
        skill=spells.skill[spell],
        source=rng.choice(len(SOURCES), n, p=SOURCE_SHARES),
        kind=rng.choice(len(TYPES), n, p=TYPE_SHARES),
        first_stage=np.where(luck < INSTANT_WIN_SHARE, WON, first_stage),
        list_usd=np.array(MEDIAN_LIST)[segment] * np.exp(LIST_SIGMA * rng.standard_normal(n)),
        revision=np.where(rng.random(n) < REVISED_SHARE, np.exp(0.18 * rng.standard_normal(n)), 1.0),
        discount=np.round(rng.beta(2, 16, n), 3),
        product=rng.choice(len(PRODUCTS), n, p=(0.45, 0.3, 0.15, 0.1)),
        duplicate_of=np.full(n, NONE) if duplicate_of is None else duplicate_of,
        is_test=np.zeros(n, dtype=bool) if is_test is None else is_test,
        is_same_day=(luck > 1 - SAME_DAY_SHARE),
    )
    deals.first_stage[deals.is_same_day] = QUALIFICATION
    return deals


def moved(rng: np.random.Generator, deals: Deals) -> None:
    """Walk every deal to its end: stays, first close, outcome and the dollars it was won for."""
    stays = walk(rng, deals.first_stage, continuous(deals.created), deals.quality, deals.skill, deals.segment,
                 deals.source, deals.kind)  # fmt: skip
    stays["is_first"] = np.ones(stays["deal"].size, dtype=bool)
    stays["is_first"][1:] = stays["deal"][1:] != stays["deal"][:-1]
    kept = stays["is_first"] | ~deals.is_same_day[stays["deal"]]
    stays = {name: values[kept] for name, values in stays.items()}
    stays["entered_at"] = np.where(stays["is_first"], deals.created[stays["deal"]], working(stays["entered"]))
    stays["left_at"] = np.maximum(working(stays["left"]), stays["entered_at"] + 60)
    quick = deals.is_same_day[stays["deal"]]
    stays["to"] = np.where(quick & (stays["to"] != LOST), WON, stays["to"])
    opened = stays["entered_at"][quick]
    stays["left_at"][quick] = opened + (
        ((opened // DAY + 1) * DAY - opened) * rng.uniform(0.1, 0.7, opened.size)
    ).astype(int)
    last = np.flatnonzero(np.append(stays["deal"][1:] != stays["deal"][:-1], True))
    deals.closed = deals.created.copy()
    deals.is_won = np.ones(len(deals), dtype=bool)
    deals.closed[stays["deal"][last]] = stays["left_at"][last]
    deals.is_won[stays["deal"][last]] = stays["to"][last] == WON
    deals.stays = stays
    saw_proposal = np.zeros(len(deals), dtype=bool)
    saw_proposal[stays["deal"][stays["stage"] == PROPOSAL]] = True
    deals.revision = np.where(saw_proposal, deals.revision, 1.0)
    days_left = quarter_end(deals.closed // DAY) - deals.closed // DAY
    pressed = np.where(days_left < 10, rng.uniform(0.02, 0.12, len(deals)), 0.0)
    is_plain = (deals.first_stage == WON) | deals.is_same_day | ~deals.is_won
    deals.last_discount = np.where(is_plain, deals.discount, np.round(deals.discount + pressed, 3))
    deals.won_usd = np.where(deals.is_won, deals.list_usd * deals.revision * (1 - deals.last_discount), 0.0)


def duplicates(rng: np.random.Generator, spells: Spells, spell, created, share: float, last_second: int):
    """Second records of deals chosen blindly, opened by the same rep within three weeks."""
    original = np.flatnonzero(rng.random(spell.size) < share)
    opened = created[original] + rng.integers(2, 22, original.size) * DAY
    fits = (opened // DAY <= spells.end[spell[original]]) & is_weekday(opened // DAY) & (opened <= last_second)
    return original[fits], opened[fits]


def simulate(company: Company) -> Deals:
    """Every deal of the company, with its changes over time, beyond the as-of day."""
    rng = generator(company.seed, "deals")
    spells = company.spells
    spell, created = openings(rng, spells, company.first_day, company.last_day + BEYOND_DAYS // 2)
    original, opened = duplicates(rng, spells, spell, created, company.size.duplicate_share, company.last_second)
    tests = rng.choice(
        np.flatnonzero((spells.segment[spell] != SMB) & (created < company.last_second - 200 * DAY)), TEST_DEALS
    )
    all_spells = np.concatenate([spell, spell[original], spell[tests]])
    all_created = np.concatenate([created, opened, created[tests] + 3600])
    order = np.argsort(all_created, kind="stable")
    place = np.argsort(order)
    duplicate_of = np.concatenate([np.full(spell.size, NONE), place[original], np.full(TEST_DEALS, NONE)])[order]
    is_test = (np.arange(order.size) >= order.size - TEST_DEALS)[order]
    deals = drawn(rng, spells, all_spells[order], all_created[order], duplicate_of, is_test)
    deals.first_stage[is_test] = QUALIFICATION
    copies = np.flatnonzero(duplicate_of != NONE)
    deals.list_usd[copies] = deals.list_usd[duplicate_of[copies]]
    moved(rng, deals)
    placed(rng, company, deals)
    removed(rng, company, deals)
    changes(rng, company, deals)
    return deals


def placed(rng: np.random.Generator, company: Company, deals: Deals) -> None:
    """Account, currency and the system or systems that keep the deal."""
    accounts, n = company.accounts, len(deals)
    share = rng.random(n) ** 1.4
    deals.account = accounts.first[deals.seat] + (share * accounts.per_seat[deals.seat]).astype(np.int64)
    copies = np.flatnonzero(deals.duplicate_of != NONE)
    deals.account[copies] = deals.account[deals.duplicate_of[copies]]
    deals.currency = accounts.currency[deals.account]
    is_smb = deals.segment == SMB
    deals.is_synced = is_smb & accounts.in_salesforce[deals.account] & (rng.random(n) < SYNCED_SHARE)
    deals.is_synced &= deals.duplicate_of == NONE
    deals.is_synced[deals.duplicate_of[copies]] = False
    deals.in_hubspot, deals.in_salesforce = is_smb, ~is_smb | deals.is_synced
    first = at_work(rng, rng.integers(company.first_day, company.last_day, len(accounts)))
    np.minimum.at(first, deals.account, deals.created)
    lead_days = rng.integers(0, 25, len(accounts)) * DAY
    accounts.created = np.maximum(first - lead_days - 3600, (company.first_day - 200) * DAY + 9 * 3600)


def second_company(company: Company, deals: Deals) -> np.ndarray:
    """A second account on every eleventh HubSpot deal, where the next one in the territory was known by then."""
    accounts, n = company.accounts, len(deals)
    following = np.minimum(deals.account + 1, len(accounts) - 1)
    fits = (np.arange(n) % 11 == 0) & deals.in_hubspot & (accounts.seat[following] == deals.seat)
    fits &= (following != deals.account) & (accounts.created[following] <= deals.created)
    return np.where(fits, following, NONE)


def removed(rng: np.random.Generator, company: Company, deals: Deals) -> None:
    """Deletions and merges, chosen without a look at how a deal goes; one after the close never happens."""
    n = len(deals)
    wait = np.maximum(rng.exponential(REMOVAL_DAYS, n), 1)
    at = at_work(rng, deals.created // DAY + 1 + wait.astype(np.int64))
    is_copy = deals.duplicate_of != NONE
    merges = is_copy & (rng.random(n) < MERGED_SHARE)
    deletes = ~is_copy & ~deals.is_test & (rng.random(n) < DELETED_SHARE)
    happens = (merges | deletes) & (at < deals.closed) & (deals.first_stage != WON)
    deals.removed = np.where(happens, at, NEVER * DAY)
    deals.merged_into = np.where(happens & merges, deals.duplicate_of, NONE)


def stage_track(rng: np.random.Generator, deals: Deals) -> Track:
    """Stage, with excursions inside a stay and re-openings after the first close; first entries stay as they are."""
    stays, n = deals.stays, len(deals)
    track = Track(np.arange(n), deals.created, deals.first_stage).plus(stays["deal"], stays["left_at"], stays["to"])
    length = stays["left_at"] - stays["entered_at"]
    previous = np.where(stays["is_first"], NONE, np.roll(stays["stage"], 1))
    luck = rng.random(length.size)
    long = length > 8 * DAY
    regresses = long & (luck < REGRESS_SHARE) & (previous == stays["stage"] - 1) & (previous >= QUALIFICATION)
    began_early = deals.first_stage[stays["deal"]] == PROSPECTING
    withdraws = long & (luck > 1 - WITHDRAW_SHARE) & began_early & (stays["stage"] > PROSPECTING)
    for chosen, target in ((regresses, previous), (withdraws, np.full(length.size, PROSPECTING))):
        for part, stage in ((0.35, target), (0.62, stays["stage"])):
            instant = stays["entered_at"] + (length * part).astype(np.int64)
            instant = at_work(rng, instant // DAY)
            track = track.plus(stays["deal"][chosen], instant[chosen], stage[chosen])
    last = np.flatnonzero(np.append(stays["deal"][1:] != stays["deal"][:-1], True))
    deal, stage = stays["deal"][last], stays["stage"][last]
    chance = np.where(deals.is_won[deal], REOPEN_WON_SHARE, REOPEN_LOST_SHARE)
    again = (rng.random(deal.size) < chance) & ~deals.is_same_day[deal]
    deal, stage = deal[again], stage[again]
    reopened = at_work(rng, deals.closed[deal] // DAY + rng.integers(12, 80, deal.size))
    ended = at_work(rng, reopened // DAY + rng.integers(8, 70, deal.size))
    result = np.where(rng.random(deal.size) < np.where(deals.is_won[deal], 0.7, 0.4), WON, LOST)
    return track.plus(deal, reopened, np.maximum(stage, QUALIFICATION)).plus(deal, ended, result)


def close_days(rng: np.random.Generator, company: Company, deals: Deals, stage: Track) -> Track:
    """The close date: a guess, pushed when it nears, sometimes pulled in; at the close, the day of it."""
    n = len(deals)
    pace = np.array([1.8, 1.0, 0.55])[deals.segment]
    created_day = deals.created // DAY
    guess = created_day + (65 * pace * np.exp(0.35 * rng.standard_normal(n))).astype(np.int64)
    luck = rng.random(n)
    guess = np.where(luck < 0.45, quarter_end(guess), np.where(luck < 0.7, month_end(guess), guess))
    guess = np.where(deals.closed // DAY == created_day, created_day, guess)
    is_open_ended = (rng.random(n) < NO_CLOSE_DATE_SHARE) & deals.in_hubspot & ~deals.in_salesforce & ~deals.is_same_day
    record, at, value = [np.arange(n)], [deals.created], [np.where(is_open_ended, NONE, guess)]
    second = np.flatnonzero(~deals.stays["is_first"])
    first_move = np.full(n, NEVER * DAY)
    np.minimum.at(first_move, deals.stays["deal"][second], deals.stays["entered_at"][second])
    dated = np.flatnonzero(is_open_ended & (first_move < deals.closed))
    guess[dated] = np.maximum(guess[dated], first_move[dated] // DAY + 20)
    record.append(dated), at.append(first_move[dated]), value.append(guess[dated])
    in_negotiation = deals.stays["stage"] == NEGOTIATION
    pull_at = np.full(n, NEVER * DAY)
    eager = in_negotiation & (rng.random(in_negotiation.size) < 0.3)
    pull_at[deals.stays["deal"][eager]] = deals.stays["entered_at"][eager] + 3600
    current, since = guess.copy(), np.where(is_open_ended, np.minimum(first_move, NEVER * DAY), deals.created)
    live = np.flatnonzero((deals.closed // DAY > created_day) & (since < deals.closed))
    diligence = company.spells.diligence[deals.spell]
    for _ in range(12):
        m = live.size
        late = rng.random(m) > diligence[live]
        shift = np.where(late, rng.integers(1, 30, m), -rng.integers(0, 7, m))
        push_at = np.maximum(at_work(rng, current[live] + shift), since[live] + DAY)
        new = push_at // DAY + (rng.integers(14, 80, m) * pace[live]).astype(np.int64)
        new = np.where(rng.random(m) < 0.5, month_end(new), new)
        new = np.maximum(new, current[live] + 1)
        pulls = (pull_at[live] > since[live]) & (pull_at[live] < push_at) & (current[live] > pull_at[live] // DAY + 25)
        push_at = np.where(pulls, pull_at[live], push_at)
        new = np.where(pulls, pull_at[live] // DAY + rng.integers(6, 20, m), new)
        goes_on = (push_at < deals.closed[live]) & (rng.random(m) > 0.05)
        live, new, push_at = live[goes_on], new[goes_on], push_at[goes_on]
        current[live], since[live] = new, push_at
        record.append(live), at.append(push_at), value.append(new)
    track = Track(np.concatenate(record), np.concatenate(at), np.concatenate(value))
    is_reopened = (stage.before() >= OPEN_STAGES) & ~stage.is_first()
    track = track.plus(stage.record[is_reopened], stage.at[is_reopened], stage.at[is_reopened] // DAY + 45)
    closes = stage.value >= OPEN_STAGES
    return track.plus(stage.record[closes], stage.at[closes], stage.at[closes] // DAY)


def amounts(rng: np.random.Generator, company: Company, deals: Deals) -> dict[str, Track]:
    """List amount, discount and amount in the deal's currency, in cents and hundredths of a percent."""
    n = len(deals)
    every = np.arange(n)
    rate = company.plan_rate(deals.created // DAY, deals.currency)
    listed = np.round(deals.list_usd * rate / 10).astype(np.int64) * 1000
    revised = np.round(deals.list_usd * deals.revision * rate / 10).astype(np.int64) * 1000
    proposal = deals.stays["stage"] == PROPOSAL
    seen, seen_at = deals.stays["deal"][proposal], deals.stays["entered_at"][proposal]
    list_track = Track(every, deals.created, listed).plus(seen, seen_at, revised[seen])
    percents = Track(every, deals.created, np.round(deals.discount * 10_000).astype(np.int64))
    drops = np.flatnonzero(deals.last_discount > deals.discount)
    last_entry = deals.created.copy()
    np.maximum.at(last_entry, deals.stays["deal"], deals.stays["entered_at"])
    signing = np.maximum(deals.closed[drops] - rng.integers(600, 2 * DAY, drops.size), last_entry[drops] + 60)
    signing = np.minimum(signing, deals.closed[drops])
    percents = percents.plus(drops, signing, np.round(deals.last_discount[drops] * 10_000).astype(np.int64))
    record = np.concatenate([list_track.record, percents.record])
    at = np.concatenate([list_track.at, percents.at])
    net = np.round(list_track.value_at(record, at) * (1 - percents.value_at(record, at) / 10_000)).astype(np.int64)
    amount = Track(record, at, net)
    late = (rng.random(n) < NO_AMOUNT_SHARE) & (deals.first_stage < OPEN_STAGES)
    first_left = np.full(n, NEVER * DAY)
    np.minimum.at(first_left, deals.stays["deal"], deals.stays["left_at"])
    blank = late[amount.record] & (amount.at < first_left[amount.record])
    value = np.where(blank, NONE, amount.value)
    amount = Track(amount.record, amount.at, value)
    late = np.flatnonzero(late)
    net = Track(record, at, net).value_at(late, first_left[late])
    return {"amount": amount.plus(late, first_left[late], net), "list_amount": list_track, "discount": percents}


def mates(rng: np.random.Generator, company: Company, team: np.ndarray, day: np.ndarray, but: np.ndarray) -> np.ndarray:
    """A spell of the team on the day, another than `but`; the team's manager where no rep is there."""
    spells, per_team = company.spells, company.size.reps_per_team
    found = np.full(team.size, NONE)
    for _ in range(6):
        seat = team * per_team + rng.integers(0, per_team, team.size)
        holder = spells.holder(seat, day)
        fits = (found == NONE) & (holder != NONE) & (holder != but) & ~spells.is_on_leave(np.maximum(holder, 0), day)
        found = np.where(fits, holder, found)
    manager = spells.holder(company.size.teams * per_team + team, day)
    return np.where(found == NONE, np.where(manager == NONE, but, manager), found)


def owners(rng: np.random.Generator, company: Company, deals: Deals, ended: np.ndarray) -> Track:
    """Owner spells: the deals of a leaver go to a team mate within days, some deals move with a territory."""
    spells, n = company.spells, len(deals)
    record, at, value = [np.arange(n)], [deals.created], [deals.spell]
    owner, since = deals.spell.copy(), deals.created.copy()
    moves = rng.random(n) < TERRITORY_MOVE_SHARE
    move_at = np.where(moves, at_work(rng, deals.created // DAY + rng.integers(15, 90, n)), NEVER * DAY)
    stays_put = rng.random(n) < KEEPS_OWNER_SHARE
    live = np.arange(n)
    for _ in range(5):
        gone = spells.end[owner[live]]
        leave_at = at_work(rng, np.where(stays_put[live], NEVER, gone + rng.integers(1, 10, live.size)))
        territory = (move_at[live] > since[live]) & (move_at[live] // DAY < gone)
        change = np.where(territory, move_at[live], leave_at)
        happens = (change < ended[live]) & (change > since[live]) & (change // DAY < company.last_day + BEYOND_DAYS)
        live, change, territory = live[happens], change[happens], territory[happens]
        if not live.size:
            break
        day = change // DAY
        team = spells.team_on(owner[live], day)
        segment = company.team_segment[team]
        order = np.argsort(company.team_segment, kind="stable")
        low = np.searchsorted(company.team_segment[order], segment)
        width = np.searchsorted(company.team_segment[order], segment, side="right") - low
        other = order[low + (rng.random(live.size) * width).astype(np.int64)]
        new = mates(rng, company, np.where(territory, other, team), day, owner[live])
        record.append(live), at.append(change), value.append(new)
        owner[live], since[live] = new, change
    return Track(np.concatenate(record), np.concatenate(at), np.concatenate(value))


def categories(rng: np.random.Generator, company: Company, deals: Deals, stage: Track) -> Track:
    """The rep's forecast category at each stage: what the deal merits, the rep's own leaning, and noise."""
    spell = deals.spell[stage.record]
    leaning = np.array([0.0, -0.8, 0.9])[company.spells.tendency[spell]]
    score = 0.7 * deals.quality[stage.record] + leaning + 0.7 * rng.standard_normal(len(stage))
    late = np.where(score > 0.1, COMMIT, np.where(score > -0.15, MOST_LIKELY, BEST_CASE))
    middle = np.where(score > 1.3, COMMIT, np.where(score > -0.4, BEST_CASE, PIPELINE))
    early = np.where(score > 1.4, BEST_CASE, PIPELINE)
    chosen = np.select(
        [stage.value == WON, stage.value == LOST, stage.value == NEGOTIATION, stage.value == PROPOSAL],
        [CLOSED, OMITTED, late, middle],
        np.where((stage.value == PROSPECTING) | (rng.random(len(stage)) < 0.03), OMITTED, early),
    )
    track = Track(stage.record, stage.at, chosen)
    stays = deals.stays
    middle_at = stays["entered_at"] + (
        (stays["left_at"] - stays["entered_at"]) * rng.uniform(0.3, 0.9, stays["deal"].size)
    ).astype(np.int64)
    edits = (stays["stage"] >= PROPOSAL) & (rng.random(middle_at.size) < 0.22)
    to = np.where(rng.random(middle_at.size) < 1 / (1 + np.exp(-deals.quality[stays["deal"]])), COMMIT, BEST_CASE)
    return track.plus(stays["deal"][edits], middle_at[edits], to[edits])


def evidence(rng: np.random.Generator, company: Company, deals: Deals) -> dict[str, Track]:
    """What reps wrote down: champion, economic buyer, budget, timeline, competitor, next steps. Good deals have more of
    it; hopeful reps write it without anything behind it (`is_hope` of the contact roles tells which)."""
    stays, n = deals.stays, len(deals)
    deal, stage, entered = stays["deal"], stays["stage"], stays["entered_at"]
    length = stays["left_at"] - entered
    merit = 1 / (1 + np.exp(-(deals.quality[deal] * 1.1 - 0.2)))
    hope = np.array([0.08, 0.03, 0.30])[company.spells.tendency[deals.spell[deal]]]
    chance = merit + (1 - merit) * hope
    contact = deals.account * CONTACTS_PER_ACCOUNT
    empty = Track(np.arange(n), deals.created, NONE)

    def written(at_stages, share, values):
        chosen = np.isin(stage, at_stages) & (rng.random(deal.size) < share * chance) & (length > 3600)
        instant = entered + (length * rng.uniform(0.05, 0.6, deal.size)).astype(np.int64)
        return empty.plus(deal[chosen], instant[chosen], values[chosen] if np.ndim(values) else values)

    timeline = stays["left_at"] // DAY + rng.integers(0, 40, deal.size)
    result = {
        "champion": written((DISCOVERY, PROPOSAL), 0.75, contact[deal]),
        "economic_buyer": written((PROPOSAL, NEGOTIATION), 0.7, contact[deal] + 1),
        "budget": written((DISCOVERY, PROPOSAL, NEGOTIATION), 0.5, 1),
        "timeline": written((DISCOVERY, PROPOSAL), 0.6, timeline),
        "competitor": empty.plus(*_competitor(rng, deals)),
    }
    return result | next_steps(rng, company, deals)


def _competitor(rng: np.random.Generator, deals: Deals):
    stays = deals.stays
    chosen = (stays["stage"] == DISCOVERY) & (rng.random(stays["deal"].size) < 0.35)
    return (
        stays["deal"][chosen],
        stays["entered_at"][chosen] + 1800,
        rng.integers(0, len(COMPETITORS), int(chosen.sum())),
    )


def next_steps(rng: np.random.Generator, company: Company, deals: Deals) -> dict[str, Track]:
    """A next step and its date at most stage entries and every three weeks after, as the rep is diligent."""
    stays = deals.stays
    length = stays["left_at"] - stays["entered_at"]
    times = 1 + np.minimum(length // (21 * DAY), 5)
    stay = np.repeat(np.arange(length.size), times)
    nth = np.arange(stay.size) - np.repeat(np.cumsum(times) - times, times)
    deal = stays["deal"][stay]
    instant = stays["entered_at"][stay] + nth * 21 * DAY + np.where(nth > 0, rng.integers(0, 3 * DAY, stay.size), 0)
    instant = np.where(nth > 0, at_work(rng, instant // DAY), instant)
    good = (0.35 + 0.6 / (1 + np.exp(-deals.quality[deal]))) * (0.5 + 0.5 * company.spells.diligence[deals.spell[deal]])
    kept = (rng.random(stay.size) < good) & (instant < stays["left_at"][stay])
    deal, instant = deal[kept], instant[kept]
    empty = Track(np.arange(len(deals)), deals.created, NONE)
    due = instant // DAY + rng.integers(3, 22, deal.size)
    return {
        "next_step": empty.plus(deal, instant, rng.integers(0, len(NEXT_STEPS), deal.size)),
        "next_step_day": empty.plus(deal, instant, due),
    }


def deletions(rng: np.random.Generator, company: Company, deals: Deals, stage: Track) -> Track:
    """Deleted for good, or deleted and restored within a quiet spell of the deal."""
    every = np.arange(len(deals))
    gone = deals.removed < NEVER * DAY
    track = Track(every, deals.created, 0).plus(every[gone], deals.removed[gone], 1)
    stays = deals.stays
    wide = (stays["left_at"] - stays["entered_at"] > 12 * DAY) & ~gone[stays["deal"]] & (stays["stage"] > PROSPECTING)
    chosen = wide & (rng.random(wide.size) < 0.004)
    from_at = at_work(rng, stays["entered_at"][chosen] // DAY + 3)
    until = at_work(rng, from_at // DAY + rng.integers(1, 6, from_at.size))
    return track.plus(stays["deal"][chosen], from_at, 1).plus(stays["deal"][chosen], until, 0)


def changes(rng: np.random.Generator, company: Company, deals: Deals) -> None:
    """Every track of every deal, cut where the deal was removed."""
    every = np.arange(len(deals))
    stage = stage_track(rng, deals)
    last = np.append(stage.key[1:] // (1 << 32) != stage.record[:-1], True)
    ended = np.full(len(deals), NEVER * DAY)
    ended[stage.record[last]] = np.where(stage.value[last] >= OPEN_STAGES, stage.at[last], NEVER * DAY)
    ended = np.minimum(ended, deals.removed)
    tracks = {"stage": stage, **amounts(rng, company, deals)}
    tracks["currency"] = Track(every, deals.created, deals.currency)
    tracks["close_day"] = close_days(rng, company, deals, stage)
    tracks["owner"] = owners(rng, company, deals, ended)
    tracks["category"] = categories(rng, company, deals, stage)
    tracks["probability"] = Track(stage.record, stage.at, np.array(STAGE_PROBABILITY)[stage.value])
    tracks |= evidence(rng, company, deals)
    lost = stage.value == LOST
    reason = rng.choice(len(LOSS_REASONS), int(lost.sum()), p=(0.24, 0.26, 0.2, 0.1, 0.12, 0.06, 0.02))
    known = Track(every, deals.created, NONE).plus(stage.record[lost], stage.at[lost], reason)
    again = (stage.before() == LOST) & ~stage.is_first()
    tracks["loss_reason"] = known.plus(stage.record[again], stage.at[again], NONE)
    tracks["is_deleted"] = deletions(rng, company, deals, stage)
    gone = np.flatnonzero(deals.merged_into != NONE)
    tracks["merged_into"] = Track(every, deals.created, NONE).plus(gone, deals.removed[gone], deals.merged_into[gone])
    tracks["account"] = Track(every, deals.created, deals.account)
    tracks["flags"] = Track(every, deals.created, NONE)  # what the closed and won flags say where they disagree
    deals.tracks = {name: track.only(track.at <= deals.removed[track.record]) for name, track in tracks.items()}
