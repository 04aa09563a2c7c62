"""How sure the parts of the lever gap are: a bootstrap over deals, the same for the same deals in any order, for ever.

A draw counts each deal 0, 1, 2 … times (Poisson with mean 1), by a number made from the seed, the draw and the deal's
id alone, and in every quarter alike, so that a deal that comes later changes nobody else's count. Quotas and who is
whose peer stay as they are. The parts themselves are `forecast.lever_gap`'s, in dbt; here only their intervals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from scipy import sparse

from dagster_project.transactions import transaction

DRAWS, SEED = 400, 20250101
LOW, HIGH = 0.025, 0.975
DEFINED_SHARE = 0.9  # of the draws must have every factor, or there is no interval
BASE_QUARTERS = 4
LEVELS = {"company": None, "segment": "segment", "team": "team", "rep": "rep_id"}
PARTS = ("stretch", "deals_in_play", "speed", "win_rate", "deal_size")
MEASURES = ("deals", "closed", "won", "amount")
THREADS = 2
DRAWS_AT_ONCE = 24  # bounds memory: so many doubles a deal and thread

PLACES = """
select
  level, level_id, quarter_start_date, quarter_number, is_complete, is_whole, is_peer, peer_group, day_of_quarter,
  cast(quota_amount as double) as quota_amount, measured_to_date, deal_count
from intermediate.int_lever_places
order by level, level_id, quarter_number
"""
DEALS = """
select
  d.opportunity_id, d.rep_id, d.team, d.segment, q.quarter_number,
  coalesce(d.closed_date <= q.measured_to_date, false) as is_closed,
  d.outcome = 'won' as is_won, cast(d.won_amount_base as double) as amount,
  d.in_play_from_date - d.quarter_start_date <= q.day_of_quarter as is_in_play_by_day,
  coalesce(d.closed_date - d.quarter_start_date <= q.day_of_quarter, false) as is_closed_by_day
from core.fct_deals_in_play as d
inner join (select distinct quarter_start_date, quarter_number, measured_to_date, day_of_quarter from places) as q
  on d.quarter_start_date = q.quarter_start_date and d.in_play_from_date <= q.measured_to_date
order by d.opportunity_id, q.quarter_number
"""
RESULT = pa.schema(
    [("level", pa.string()), ("level_id", pa.string()), ("quarter_start_date", pa.date32()), ("base", pa.string())]
    + [(f"{part}_{end}", pa.decimal128(18, 2)) for part in PARTS for end in ("low", "high")]
)


def write(connection: duckdb.DuckDBPyConnection, draws: int = DRAWS, seed: int = SEED) -> int:
    """Replace `intermediate.lever_intervals`; returns its rows."""
    connection.register("drawn", intervals(connection, draws, seed))
    with transaction(connection):
        connection.execute("delete from intermediate.lever_intervals")
        connection.execute("insert into intermediate.lever_intervals by name select * from drawn")
    connection.unregister("drawn")
    return connection.execute("select count(*) from intermediate.lever_intervals").fetchone()[0]


def intervals(connection: duckdb.DuckDBPyConnection, draws: int = DRAWS, seed: int = SEED) -> pa.Table:
    """95 % intervals of every part of every place, quarter and base that can be split. Reads the built models."""
    company = read(connection)
    found = {base: np.empty((len(PARTS), len(company.places), draws)) for base in ("own", "peers")}

    def draw(start: int) -> None:
        chosen = range(start, min(start + DRAWS_AT_ONCE, draws))
        sums = company.sums(weights(company.deals, chosen, seed))
        for base, parts in found.items():
            parts[:, :, start : chosen.stop] = company.split(sums, base)

    with ThreadPoolExecutor(THREADS) as threads:  # NumPy and SciPy let go of the interpreter while they reckon
        list(threads.map(draw, range(0, draws, DRAWS_AT_ONCE)))
    return pa.concat_tables(_bounds(company, base, parts) for base, parts in found.items())


def weights(deals: np.ndarray, draws: range, seed: int) -> np.ndarray:
    """How often each deal (a 64-bit number of its own) counts in each draw: deals x draws."""
    counts = np.empty((len(deals), len(draws)), dtype=np.float32)
    for column, draw in enumerate(draws):
        bits = _mixed(deals ^ _mixed(np.array([(seed << 20) + draw], dtype=np.uint64)))
        counts[:, column] = POISSON[bits >> np.uint64(48)]
    return counts


def numbers(ids: list[str]) -> np.ndarray:
    """A 64-bit number for each id, the same everywhere and for ever."""
    digests = b"".join(hashlib.blake2b(identifier.encode(), digest_size=8).digest() for identifier in ids)
    return np.frombuffer(digests, dtype="<u8")


def _mixed(bits: np.ndarray) -> np.ndarray:
    """SplitMix64: every bit of what goes in changes every bit of what comes out."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _poisson_table() -> np.ndarray:
    """For every 16 bits the count they mean: 0 where they lie below exp(-1), 1 up to 2 exp(-1) …"""
    chances = np.exp(-1) / np.cumprod([1.0, *range(1, 9)])
    return np.searchsorted(np.cumsum(chances), (np.arange(65_536) + 0.5) / 65_536).astype(np.float32)


POISSON = _poisson_table()


@dataclass(frozen=True)
class Company:
    """Places (level x id x quarter) and the deals behind them, as matrices that add deals up to places.

    `by_end`, `by_day`: for each of MEASURES places x deals, up to the quarter's end (the lock, in a running one) and up
    to the running quarter's day. `before`, `group`: places x places, the four whole quarters before, and the peers with
    the place itself among them.
    """

    places: pa.Table
    deals: np.ndarray
    by_end: tuple[sparse.csr_array, ...]
    by_day: tuple[sparse.csr_array, ...]
    before: sparse.csr_array
    group: sparse.csr_array
    quota: np.ndarray
    is_running: np.ndarray
    is_peer: np.ndarray
    quarters_before: np.ndarray

    def sums(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each measure of each place in each draw, up to the end and up to the day: measures x places x draws."""
        return tuple(np.stack([matrix @ weights for matrix in side]) for side in (self.by_end, self.by_day))

    def split(self, sums: tuple[np.ndarray, np.ndarray], base: str) -> np.ndarray:
        """Parts x places x draws; NaN where a factor is undefined."""
        own, own_by_day = sums
        if base == "own":
            then = np.where(self.is_running[:, None], self._add(self.before, own_by_day), self._add(self.before, own))
            scale = 1 / np.where(self.quarters_before > 0, self.quarters_before, np.nan)
        else:
            then = self._add(self.group, own) - own * self.is_peer[:, None]
            others = self.group @ self.quota - self.quota * self.is_peer
            scale = self.quota / np.where(others > 0, others, np.nan)
        return shapley(self.quota, factors(own), factors(then, scale[:, None]))

    @staticmethod
    def _add(matrix: sparse.csr_array, sums: np.ndarray) -> np.ndarray:
        return np.stack([matrix @ measure for measure in sums])


def factors(sums: np.ndarray, scale: np.ndarray | float = 1.0) -> np.ndarray:
    """Deals in play, share closed, win rate, average won amount from the four sums; NaN where a divisor is 0."""
    deals, closed, won, amount = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.stack([deals * scale, closed / deals, won / closed, amount / won])
    found[~np.isfinite(found)] = np.nan
    return found


def shapley(quota: np.ndarray, now: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Stretch, then each factor's part in base product - product, averaged over all orders; they add up to the gap."""
    parts = [quota[:, None] - np.prod(base, axis=0)]
    for factor in range(4):
        others = [other for other in range(4) if other != factor]
        total = 0.0
        for chosen in range(8):
            at_base = [bool(chosen >> bit & 1) for bit in range(3)]
            product = np.prod([(base if b else now)[other] for other, b in zip(others, at_base, strict=True)], axis=0)
            total = total + (1 / 4, 1 / 12, 1 / 12, 1 / 4)[sum(at_base)] * product
        parts.append((base[factor] - now[factor]) * total)
    return np.stack(parts)


def read(connection: duckdb.DuckDBPyConnection) -> Company:
    places = connection.execute(PLACES).to_arrow_table()
    connection.register("places", places)
    deals = connection.execute(DEALS).to_arrow_table()
    connection.unregister("places")
    flags = ("is_closed", "is_won", "is_in_play_by_day", "is_closed_by_day")
    column = {name: deals[name].to_numpy(zero_copy_only=False) for name in ("amount", *flags)}
    ids = deals["opportunity_id"].dictionary_encode().combine_chunks()
    deal = ids.indices.to_numpy()
    place = {key: row for row, key in enumerate(_keys(places, "level", "level_id"))}
    rows = np.concatenate([_place_of(deals, level, name, place) for level, name in LEVELS.items()])

    def matrices(is_in_play, is_closed) -> tuple[sparse.csr_array, ...]:
        is_won = is_closed & column["is_won"]
        values = (is_in_play, is_closed, is_won, np.where(is_won, column["amount"], 0.0))
        return tuple(_added(rows, deal, value.astype(float), len(places), len(ids.dictionary)) for value in values)

    number, is_whole = places["quarter_number"].to_numpy(), places["is_whole"].to_numpy(zero_copy_only=False)
    is_peer = places["is_peer"].to_numpy(zero_copy_only=False).astype(float)
    before = _before(places, number, is_whole)
    is_used = is_whole & (places["deal_count"].to_numpy() > 0)
    everything = np.ones(len(deal), dtype=bool)
    return Company(
        places=places,
        deals=numbers(ids.dictionary.to_pylist()),
        by_end=matrices(everything, column["is_closed"]),
        by_day=matrices(column["is_in_play_by_day"], column["is_closed"] & column["is_closed_by_day"]),
        before=before,
        group=_groups(places, is_peer),
        quota=places["quota_amount"].to_numpy(),
        is_running=~places["is_complete"].to_numpy(zero_copy_only=False),
        is_peer=is_peer,
        quarters_before=before @ is_used.astype(float),
    )


def _keys(table: pa.Table, *columns: str) -> Iterator[tuple]:
    return zip(*(table[name].to_pylist() for name in (*columns, "quarter_number")), strict=True)


def _place_of(deals: pa.Table, level: str, name: str | None, place: dict) -> np.ndarray:
    owners = deals[name].to_pylist() if name else ["all"] * len(deals)
    numbers = deals["quarter_number"].to_pylist()
    return np.array([place[level, owner, number] for owner, number in zip(owners, numbers, strict=True)], dtype=int)


def _added(rows: np.ndarray, deal: np.ndarray, value: np.ndarray, height: int, width: int) -> sparse.csr_array:
    """Places x deals; a deal stands once at each level."""
    values, columns = np.tile(value, len(LEVELS)), np.tile(deal, len(LEVELS))
    there = values != 0
    return sparse.csr_array((values[there], (rows[there], columns[there])), shape=(height, width))


def _before(places: pa.Table, number: np.ndarray, is_whole: np.ndarray) -> sparse.csr_array:
    """Each place beside itself in the whole quarters among the four before. A place's rows stand in order, together."""
    size = len(places)
    names = np.array([f"{level}\n{level_id}" for level, level_id, _ in _keys(places, "level", "level_id")])
    rows, columns = [], []
    for back in range(1, BASE_QUARTERS + 1):
        late = np.arange(back, size)
        early = late - back
        is_near = (names[late] == names[early]) & (number[late] - number[early] <= BASE_QUARTERS) & is_whole[early]
        rows.append(late[is_near])
        columns.append(early[is_near])
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(size, size))


def _groups(places: pa.Table, is_peer: np.ndarray) -> sparse.csr_array:
    """Each place beside the peers of its level, group and quarter, itself among them."""
    keys = list(_keys(places, "level", "peer_group"))
    group = {key: row for row, key in enumerate(dict.fromkeys(key for key in keys if key[1] is not None))}
    rows = np.array([row for row, key in enumerate(keys) if key in group], dtype=int)
    columns = np.array([group[key] for key in keys if key in group], dtype=int)
    member = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(places), len(group)))
    return member @ (member.T * is_peer[None, :])


def _bounds(company: Company, base: str, parts: np.ndarray) -> pa.Table:
    """The middle 95 % of the draws of each part, where enough of them have every factor."""
    draws = parts.shape[2]
    ordered = np.sort(parts, axis=2)  # NaN last
    defined = np.isfinite(parts).sum(axis=2).min(axis=0)
    kept = defined >= DEFINED_SHARE * draws
    rows = np.arange(len(kept))[kept]
    last = defined[kept] - 1
    columns = {
        "level": company.places["level"].take(rows),
        "level_id": company.places["level_id"].take(rows),
        "quarter_start_date": company.places["quarter_start_date"].take(rows),
        "base": pa.array([base] * len(rows)),
    }
    for part, name in enumerate(PARTS):
        for end, share in (("low", LOW), ("high", HIGH)):
            bound = ordered[part, rows, np.rint(share * last).astype(int)]
            columns[f"{name}_{end}"] = pa.array(np.round(bound, 2)).cast(pa.decimal128(18, 2), safe=False)
    return pa.table(columns).cast(RESULT)
