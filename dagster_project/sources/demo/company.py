"""Who works here and where: teams, seats, employment spells, territories of accounts and contacts, currency rates."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dagster_project.sources.demo.clock import (
    MONTH_DAYS,
    NEVER,
    add_months,
    day_number,
    generator,
    month_start,
    next_monday,
)
from dagster_project.sources.demo.names import FIRST_NAMES, LAST_NAMES, NAME_HEADS, NAME_MIDDLES, NAME_TAILS
from dagster_project.sources.demo.sizes import AS_OF_DATE, Size
from dagster_project.sources.demo.tracks import NONE

SEGMENTS = ("Enterprise", "Mid-Market", "SMB")
ENTERPRISE, MID_MARKET, SMB = range(3)
TEAM_SEGMENTS = (1, 2, 0, 1, 2, 0, 1, 2)  # of eight teams two are Enterprise
REGIONS = ("Americas", "EMEA")
ROLES = ("rep", "manager", "sdr", "se", "vp")
REP, MANAGER, SDR, SE, VP = range(5)
REASONS = ("voluntary", "involuntary", "other")
CURRENCIES = ("USD", "EUR", "GBP", "SEK")  # SEK only where a missing rate is asked for
FIRST_RATES = (1.0, 0.93, 0.81)

HISTORY_DAYS = 730  # how long before the first load people were hired
BEYOND_DAYS = 365  # how long after the as-of day the simulation runs on, to know every outcome

# monthly hazard of leaving, by tenure month; managers leave at a third of it
HAZARD_STEPS = ((3, 0.012), (12, 0.028), (24, 0.024), (600, 0.016))
MANAGER_HAZARD = 0.35
REASON_SHARES = (0.60, 0.30, 0.10)

TENDENCIES = ("honest", "sandbagger", "happy_ears")
TENDENCY_SHARES = (0.68, 0.14, 0.18)
TENDENCY_BIAS = (0.0, -0.35, 0.45)  # share by which the open part of a call is under- or overstated

ACCOUNTS_PER_SEAT = (60, 90, 130)  # by segment
CONTACTS_PER_ACCOUNT = 3
SHARED_SMB, SHARED_MID_MARKET = 0.16, 0.04  # accounts known to both CRMs

INDUSTRIES = ("Manufacturing", "Software", "Retail", "Financial Services", "Healthcare", "Logistics", "Energy", "Media")
CONTACT_ROLES = ("Champion", "Economic Buyer", "User")
CONTACT_TITLES = ("Head of Operations", "Chief Financial Officer", "Operations Analyst")


@dataclass
class Seats:
    """Positions on the teams; each is held by one person at a time."""

    role: np.ndarray
    team: np.ndarray
    opened: np.ndarray  # day


@dataclass
class Spells:
    """One row an employment: a person in a seat from `start` to `end`, both on the job; sorted by seat and start."""

    seat: np.ndarray
    person: np.ndarray
    user: np.ndarray  # the person's Salesforce user; a re-hire keeps the old one or gets another
    role: np.ndarray
    team: np.ndarray
    segment: np.ndarray
    start: np.ndarray
    end: np.ndarray
    reason: np.ndarray
    skill: np.ndarray  # standard normal
    ramp_speed: np.ndarray  # 1 is usual, more is faster
    potential: np.ndarray  # how rich the territory is; 1 is usual
    diligence: np.ndarray  # how well the record is kept, 0 to 1
    tendency: np.ndarray
    is_theatre: np.ndarray  # much activity that moves nothing
    leave_from: np.ndarray
    leave_to: np.ndarray
    move_day: np.ndarray
    move_team: np.ndarray

    def __len__(self) -> int:
        return self.seat.size

    def holder(self, seat: np.ndarray, day: np.ndarray) -> np.ndarray:
        """The spell that holds each seat on each day, `NONE` while it is empty."""
        key = self.seat * 100_000 + self.start
        found = np.searchsorted(key, np.asarray(seat) * 100_000 + day, side="right") - 1
        holds = (found >= 0) & (self.seat[found] == seat) & (self.end[found] >= day)
        return np.where(holds, found, NONE)

    def team_on(self, spell: np.ndarray, day: np.ndarray) -> np.ndarray:
        return np.where(day >= self.move_day[spell], self.move_team[spell], self.team[spell])

    def is_on_leave(self, spell: np.ndarray, day: np.ndarray) -> np.ndarray:
        return (day >= self.leave_from[spell]) & (day < self.leave_to[spell])


@dataclass
class Accounts:
    """Territory: `account = first[seat] + k`; contacts of an account follow each other likewise."""

    first: np.ndarray  # by seat
    per_seat: np.ndarray
    seat: np.ndarray
    segment: np.ndarray
    region: np.ndarray
    currency: np.ndarray
    industry: np.ndarray
    employees: np.ndarray
    parent: np.ndarray
    in_salesforce: np.ndarray
    in_hubspot: np.ndarray
    created: np.ndarray = field(default_factory=lambda: np.empty(0))  # second; set once deals are known

    def __len__(self) -> int:
        return self.seat.size


@dataclass
class Company:
    size: Size
    seed: int
    first_day: int
    last_day: int
    seats: Seats
    spells: Spells
    accounts: Accounts
    team_segment: np.ndarray
    team_region: np.ndarray
    plan_rates: np.ndarray  # year x currency
    plan_years: np.ndarray
    dated_rates: np.ndarray  # month x currency
    rate_days: np.ndarray  # first day of each month

    @property
    def last_second(self) -> int:
        return self.last_day * 86_400 + 86_399

    def plan_rate(self, day: np.ndarray, currency: np.ndarray) -> np.ndarray:
        """Units of the currency for one dollar."""
        year = np.asarray(day, dtype="M8[D]").astype("M8[Y]").astype(np.int64) + 1970
        return self.plan_rates[np.clip(year - self.plan_years[0], 0, len(self.plan_years) - 1), currency]

    def dated_rate(self, day: np.ndarray, currency: np.ndarray) -> np.ndarray:
        found = np.clip(np.searchsorted(self.rate_days, day, side="right") - 1, 0, len(self.rate_days) - 1)
        return self.dated_rates[found, currency]


def hazards(months: int = 600) -> np.ndarray:
    """Chance to leave during each tenure month (first, second …) of somebody there at its start. Reps, SDRs and SEs."""
    tenure = np.arange(1, months + 1)
    upper = [step for step, _ in HAZARD_STEPS]
    return np.array([rate for _, rate in HAZARD_STEPS])[np.searchsorted(upper, tenure)]


def leaving(rng: np.random.Generator, start: np.ndarray, role: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last day on the job and the reason, from the known hazard; the day is uniform within its tenure month."""
    luck = rng.random(start.size)
    month = np.empty(start.size, dtype=np.int64)
    for is_manager, scale in ((False, 1.0), (True, MANAGER_HAZARD)):
        mine = np.isin(role, (MANAGER, VP)) == is_manager
        stays = np.cumprod(1 - hazards() * scale)
        month[mine] = np.searchsorted(-stays, -luck[mine])
    opens = add_months(start, month)
    length = add_months(start, month + 1) - opens
    end = opens + (rng.random(start.size) * length).astype(np.int64)
    return np.minimum(end, NEVER - 1), rng.choice(3, start.size, p=REASON_SHARES)


def people(rng: np.random.Generator, seats: Seats, team_segment: np.ndarray, until: int) -> Spells:
    """Fill every seat from its opening until `until`, one person after another."""
    rows = []
    seat = np.arange(seats.role.size)
    start = next_monday(seats.opened)
    while seat.size:
        end, reason = leaving(rng, start, seats.role[seat])
        rows.append(np.stack([seat, start, end, reason]))
        gap = np.where(np.isin(seats.role[seat], (MANAGER, VP)), 1, rng.integers(14, 71, seat.size))
        follows = next_monday(end + gap)
        follows = np.where(gap == 1, end + 1, follows)
        seat, start = seat[follows <= until], follows[follows <= until]
    seat, start, end, reason = np.concatenate(rows, axis=1)
    order = np.lexsort((start, seat))
    seat, start, end, reason = seat[order], start[order], end[order], reason[order]
    hired = np.argsort(np.lexsort((seat, start)))
    role, team = seats.role[seat], seats.team[seat]
    segment = np.where(team == NONE, NONE, team_segment[team])
    return spells_of(rng, seat, role, team, segment, start, end, reason, hired)


def spells_of(rng: np.random.Generator, seat, role, team, segment, start, end, reason, person) -> Spells:
    """Employments with the people's traits drawn; potential belongs to the seat."""
    n = seat.size
    return Spells(
        seat=seat,
        person=person,
        user=person.copy(),
        role=role,
        team=team,
        segment=segment,
        start=start,
        end=end,
        reason=reason,
        skill=rng.standard_normal(n),
        ramp_speed=np.exp(0.25 * rng.standard_normal(n)),
        potential=np.exp(0.18 * rng.standard_normal(int(seat.max()) + 1))[seat],
        diligence=rng.beta(7, 2.2, n),
        tendency=rng.choice(3, n, p=TENDENCY_SHARES),
        is_theatre=rng.random(n) < 0.1,
        leave_from=np.full(n, NEVER),
        leave_to=np.full(n, NEVER),
        move_day=np.full(n, NEVER),
        move_team=team.copy(),
    )


def open_seats(rng: np.random.Generator, size: Size, first_day: int) -> Seats:
    reps = size.teams * size.reps_per_team
    team = np.arange(size.teams)
    role = np.concatenate([np.full(reps, REP), np.full(size.teams, MANAGER), np.full((size.teams * 2 + 2) // 3, SDR),
                           np.full((size.teams + 1) // 2, SE), [VP]])  # fmt: skip
    teams = np.concatenate([np.repeat(team, size.reps_per_team), team, team[: (size.teams * 2 + 2) // 3],
                            team[: (size.teams + 1) // 2], [NONE]])  # fmt: skip
    opened = first_day - HISTORY_DAYS + rng.integers(0, HISTORY_DAYS, role.size)
    late = (rng.random(role.size) < 0.18) & (role == REP)
    opened = np.where(late, first_day + rng.integers(20, 420, role.size), opened)
    opened = np.where(np.isin(role, (MANAGER, VP)), first_day - HISTORY_DAYS - 60, opened)
    return Seats(role, teams, opened)


def events_of_work(rng: np.random.Generator, company: Company) -> None:
    """Leaves of absence, moves between teams of a segment and re-hires, all after the first year on the job."""
    spells = company.spells
    first = np.maximum(add_months(spells.start, 13), company.first_day + 30)
    last = np.minimum(spells.end - 120, company.last_day - 20)
    fits = np.flatnonzero((spells.role == REP) & (last - first > 30))
    rng.shuffle(fits)
    count = max(1, fits.size // 9)
    for number, spell in enumerate(fits[: 2 * count]):
        day = int(rng.integers(first[spell], last[spell]))
        if number < count:
            spells.leave_from[spell], spells.leave_to[spell] = day, day + int(rng.integers(30, 91))
            continue
        peers = np.flatnonzero(company.team_segment == spells.segment[spell])
        peers = peers[peers != spells.team[spell]]
        if peers.size:
            spells.move_day[spell], spells.move_team[spell] = int(month_start(day)), int(rng.choice(peers))
    rehire(company)


def rehire(company: Company) -> None:
    """Give a few vacancies to people who had left the same segment at least 90 days before.

    Every other one comes back under the old user, the rest under a new user with the same e-mail.
    """
    spells = company.spells
    is_rep = spells.role == REP
    wanted = max(2, company.size.teams // 4)
    taken: list[int] = []
    for new in np.flatnonzero(
        is_rep & (spells.start > company.first_day + 200) & (spells.start < company.last_day - 90)
    ):
        left = is_rep & (spells.segment == spells.segment[new]) & (spells.end < spells.start[new] - 90)
        left &= spells.end > company.first_day
        left[taken] = False
        if new in taken or not left.any():
            continue
        old = np.flatnonzero(left)[-1]
        taken += [int(old), int(new)]
        for trait in ("person", "skill", "ramp_speed", "diligence", "tendency", "is_theatre"):
            getattr(spells, trait)[new] = getattr(spells, trait)[old]
        if len(taken) // 2 % 2:
            spells.user[new] = spells.user[old]
        if len(taken) >= 2 * wanted:
            return


def territories(rng: np.random.Generator, company: Company) -> Accounts:
    seats = company.seats
    segment = np.where(seats.role == REP, company.team_segment[seats.team], NONE)
    per_seat = np.where(segment == NONE, 0, np.array(ACCOUNTS_PER_SEAT)[segment])
    seat = np.repeat(np.arange(seats.role.size), per_seat)
    first = np.concatenate([[0], np.cumsum(per_seat)[:-1]])
    segment, n = segment[seat], seat.size
    region = company.team_region[seats.team[seat]]
    currency = np.where(region == 0, 0, 1 + (rng.random(n) < 0.4))
    is_child = (rng.random(n) < 0.06) & (np.arange(n) > first[seat])
    parent = np.where(is_child, first[seat] + (rng.random(n) * (np.arange(n) - first[seat])).astype(np.int64), NONE)
    is_shared = rng.random(n) < np.where(
        segment == SMB, SHARED_SMB, np.where(segment == MID_MARKET, SHARED_MID_MARKET, 0)
    )
    return Accounts(
        first=first,
        per_seat=per_seat,
        seat=seat,
        segment=segment,
        region=region,
        currency=currency,
        industry=rng.integers(0, len(INDUSTRIES), n),
        employees=np.exp(rng.normal(np.array([7.6, 5.8, 3.8])[segment], 0.7)).astype(np.int64) + 3,
        parent=parent,
        in_salesforce=(segment != SMB) | is_shared,
        in_hubspot=(segment == SMB) | is_shared,
    )


def currency_rates(rng: np.random.Generator, first_day: int, last_day: int) -> tuple[np.ndarray, ...]:
    """Monthly dated rates (a random walk) and yearly plan rates (the January rate), in units for one dollar."""
    months = np.arange(
        np.datetime64(int(first_day), "D").astype("M8[M]") - 2,
        np.datetime64(int(last_day), "D").astype("M8[M]") + 1,
    )
    steps = rng.normal(0, 0.012, (months.size, 2)).cumsum(axis=0)
    dated = np.concatenate([np.ones((months.size, 1)), np.array(FIRST_RATES[1:]) * np.exp(steps)], axis=1).round(6)
    years = np.unique(months.astype("M8[Y]"))
    january = np.maximum(np.searchsorted(months, years.astype("M8[M]")), 0)
    plan = dated[january].round(3)
    return plan, years.astype(np.int64) + 1970, dated, months.astype("M8[D]").astype(np.int64)


def found(size: Size, seed: int) -> Company:
    """The company before its first deal."""
    rng = generator(seed, "company")
    first_day, last_day = day_number(size.starts), day_number(AS_OF_DATE)
    team_segment = np.array([TEAM_SEGMENTS[number % len(TEAM_SEGMENTS)] for number in range(size.teams)])
    team_region = np.arange(size.teams) // 2 % 2 if size.teams > 3 else np.array([0, 1, 0])[: size.teams]
    if size.teams == 3:
        team_segment = np.array([1, 2, 0])
    seats = open_seats(rng, size, first_day)
    spells = people(rng, seats, team_segment, last_day + BEYOND_DAYS)
    plan, years, dated, rate_days = currency_rates(rng, first_day, last_day + BEYOND_DAYS)
    company = Company(size, seed, first_day, last_day, seats, spells, None, team_segment, team_region,
                      plan, years, dated, rate_days)  # fmt: skip
    events_of_work(rng, company)
    company.accounts = territories(rng, company)
    return company


def account_names(numbers: np.ndarray) -> tuple[list[str], list[str]]:
    """Name and domain of accounts; domains never repeat."""
    names, domains = [], []
    heads, middles, tails = len(NAME_HEADS), len(NAME_MIDDLES), len(NAME_TAILS)
    for number in numbers:
        turn, place = divmod(int(number) * 7919 % (heads * middles * tails * 40), heads * middles * tails)
        head, rest = divmod(place, middles * tails)
        middle, tail = divmod(rest, tails)
        word = NAME_HEADS[head] + NAME_MIDDLES[middle]
        suffix = f" {turn + 1}" if turn else ""
        names.append(f"{word} {NAME_TAILS[tail]}{suffix}")
        domains.append(f"{word}-{NAME_TAILS[tail]}{turn + 1 if turn else ''}.example".lower())
    return names, domains


def person_names(count: int, seed: int) -> tuple[list[str], list[str], list[str]]:
    """First name, last name and e-mail of the company's people; e-mails never repeat."""
    rng = generator(seed, "names")
    first = [FIRST_NAMES[n] for n in rng.integers(0, len(FIRST_NAMES), count)]
    last = [LAST_NAMES[n] for n in rng.integers(0, len(LAST_NAMES), count)]
    seen: dict[str, int] = {}
    emails = []
    for given, family in zip(first, last, strict=True):
        local = f"{given}.{family}".lower()
        seen[local] = seen.get(local, 0) + 1
        emails.append(f"{local}{seen[local] if seen[local] > 1 else ''}@meridian.example")
    return first, last, emails


def tenure_months(start: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Tenure in months as a continuous number."""
    return (day - start) / MONTH_DAYS
