"""How each kind of Salesforce record is read: what is new since the cursor, and once in a while everything."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.sources.api import Page, Stream
from dagster_project.sources.salesforce.api import REST_ROWS, Salesforce
from dagster_project.sources.salesforce.objects import CURRENCY_TYPE, FORECAST, QUOTA, SObject

OVERLAP = timedelta(minutes=10)  # a record may be stamped that long before its transaction is seen
ROWS_PER_WINDOW = 500_000
MOST_WINDOWS = 60


@dataclass(frozen=True)
class Cursor:
    """How far an object was read. at: the newest stamp seen. whole_at: when everything was read last. reading: changes
    with the fields asked for. org: whose rows they are. more: what a stream keeps beside."""

    org: str
    reading: str
    at: str | None = None
    whole_at: str | None = None
    more: dict[str, Any] | None = None

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str | None) -> Cursor | None:
        try:
            return cls(**json.loads(text)) if text else None
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Reading:
    """What all streams of one pull share. began: when the pull began. reconcile: how often everything is read again,
    None for never: formula and roll-up fields change without a stamp, and some deletions leave no trace."""

    org: str
    fields: str
    began: Callable[[], datetime]
    reconcile: timedelta | None


@dataclass(frozen=True)
class Hierarchy:
    """What forecasts and quotas refer to. periods: id to StartDate and EndDate. leaders: ids of forecast managers."""

    periods: Mapping[str, Mapping[str, str]]
    leaders: frozenset[str]


class ObjectStream(Stream):
    """An object, row by row. fields: column to field, those that can be read."""

    def __init__(self, salesforce: Salesforce, reading: Reading, what: SObject, fields: Mapping[str, str]) -> None:
        self.salesforce, self.reading, self.what, self.fields = salesforce, reading, what, dict(fields)
        self.name, self.tables = what.name, (what.table,)

    def partitions(self, cursor: str | None) -> list[str]:
        """Windows of the stamp in order, the last one open: a record changed meanwhile is read again there."""
        if self.what.stamp is None:
            return [json.dumps({})]
        if not self._reads_all(cursor):
            since = datetime.fromisoformat(Cursor.of(cursor).at) - OVERLAP
            return [json.dumps({"since": _instant(since)})]
        count = (self.salesforce.count(self.name) or 0) if self.what.bulk else 0
        windows = min(MOST_WINDOWS, -(-count // ROWS_PER_WINDOW))
        is_large = {"is_large": True} if count > REST_ROWS else {}
        return [json.dumps(window | is_large) for window in (self._windows(windows) if windows > 1 else [{}])]

    def _windows(self, number: int) -> list[dict[str, str]]:
        stamp = self.what.stamp
        oldest = self.salesforce.records(f"SELECT {stamp} FROM {self.name} ORDER BY {stamp} ASC LIMIT 1")
        if not oldest:
            return [{}]
        first, last = datetime.fromisoformat(oldest[0][stamp]).replace(tzinfo=None), self.reading.began()
        cuts = [_instant(first + (last - first) * n / number) for n in range(1, number)]
        return [{"until": cuts[0]}, *({"since": a, "until": b} for a, b in pairwise(cuts)), {"since": cuts[-1]}]

    def pages(self, partition: str, resume: str | None) -> Iterator[Page]:
        fields = list(dict.fromkeys([*self.fields.values(), *filter(None, [self.what.stamp])]))
        soql = f"SELECT {', '.join(fields)} FROM {self.name}{self._where(json.loads(partition))}"
        is_large = json.loads(partition).get("is_large", False)
        for rows, following in self.salesforce.rows(soql, fields, self.what.bulk, resume, is_large):
            columns = [rows.column(field) for field in self.fields.values()]
            told = pa.RecordBatch.from_arrays(columns, names=list(self.fields))
            yield Page({self.what.table.name: told}, following, self._reached(rows))

    def _where(self, window: Mapping[str, str]) -> str:
        stamp = self.what.stamp
        conditions = [f"{stamp} >= {window['since']}"] if "since" in window else []
        conditions += [f"{stamp} < {window['until']}"] if "until" in window else []
        return f" WHERE {' AND '.join(conditions)}" if conditions else ""

    def _reached(self, rows: pa.RecordBatch) -> str | None:
        if self.what.stamp is None or not len(rows):
            return None
        newest = pc.max(rows.column(self.what.stamp)).as_py()
        return newest and newest[:23]

    def is_whole(self, cursor: str | None) -> bool:
        return self._reads_all(cursor) and not self.what.is_cleared

    def _reads_all(self, cursor: str | None) -> bool:
        told = Cursor.of(cursor)
        if self.what.stamp is None or told is None or told.at is None or told.reading != self.reading.fields:
            return True
        if self.reading.reconcile is None:
            return False
        return self.reading.began() >= datetime.fromisoformat(told.whole_at) + self.reading.reconcile

    def cursor(self, before: str | None, reached: str | None) -> str:
        told, reads_all = Cursor.of(before), self._reads_all(before)
        at = max(filter(None, (told and told.at, reached)), default=None)
        whole_at = self.reading.began().isoformat() if reads_all or told is None else told.whole_at
        return Cursor(self.reading.org, self.reading.fields, at, whole_at).text()


class CurrencyStream(Stream):
    """CurrencyType, read whole. Salesforce keeps only the present plan rate: the first one seen of a currency holds
    from the beginning, a later one from the day on which it was changed."""

    name, tables = "CurrencyType", (CURRENCY_TYPE,)

    def __init__(self, salesforce: Salesforce, reading: Reading, fields: Mapping[str, str]) -> None:
        self.salesforce, self.reading, self.fields = salesforce, reading, dict(fields)
        self._first: dict[str, str] = {}

    def partitions(self, cursor: str | None) -> list[str]:
        told = Cursor.of(cursor)
        return [json.dumps((told and told.more) or {})]

    def is_whole(self, cursor: str | None) -> bool:
        return True

    def pages(self, partition: str, resume: str | None) -> Iterator[Page]:
        first = json.loads(partition)
        fields = [field for column, field in self.fields.items() if column != "StartDate"]
        found = self.salesforce.records(f"SELECT {', '.join(fields)}, LastModifiedDate FROM CurrencyType")
        rows = []
        for record in found:
            changed = record["LastModifiedDate"]
            began = first.setdefault(record["Id"], changed)
            rows.append({**record, "StartDate": None if changed == began else changed[:10]})
        yield Page({CURRENCY_TYPE.name: rows}, reached=json.dumps(first, sort_keys=True))

    def cursor(self, before: str | None, reached: str | None) -> str:
        first = json.loads(reached) if reached else {}
        return Cursor(self.reading.org, self.reading.fields, more=first).text()


class QuotaStream(ObjectStream):
    """ForecastingQuota, with the end of the period that it is for."""

    def __init__(
        self, salesforce: Salesforce, reading: Reading, fields: Mapping[str, str], hierarchy: Hierarchy
    ) -> None:
        what = SObject("ForecastingQuota", QUOTA, bulk=False, is_optional=True)
        super().__init__(salesforce, reading, what, {**fields, "PeriodEndDate__c": "PeriodId"})
        self.periods = hierarchy.periods

    def pages(self, partition: str, resume: str | None) -> Iterator[Page]:
        for page in super().pages(partition, resume):
            rows = page.rows[QUOTA.name].to_pylist()
            for row in rows:
                period = self.periods.get(row["PeriodEndDate__c"])
                row["PeriodEndDate__c"] = period and period["EndDate"]
                row["StartDate"] = row.get("StartDate") or (period and period["StartDate"])
            yield Page({QUOTA.name: rows}, page.resume, page.reached)


# The cumulative categories that forecast pages show, and the columns they land in.
CATEGORIES = {
    "CommitForecast": "CommitAmount", "BestCaseForecast": "BestCaseAmount", "OpenPipeline": "PipelineAmount",
}  # fmt: skip


class ForecastStream(Stream):
    """ForecastingItem, one answer a person, period and category, as one row a person, period and scope.

    The amount of somebody who leads others in the forecast hierarchy is a team's, with her or his own deals beside;
    anybody else's is their own. Only periods in which an item moved are read, each whole. kind: the forecast type's id.
    """

    name, tables = "ForecastingItem", (FORECAST,)
    FIELDS = (
        "Id", "OwnerId", "ForecastingItemCategory", "ForecastAmount", "OwnerOnlyAmount", "SystemModstamp",
    )  # fmt: skip

    def __init__(
        self, salesforce: Salesforce, reading: Reading, hierarchy: Hierarchy, kind: str | None, has_currency: bool
    ) -> None:
        self.salesforce, self.reading, self.hierarchy, self.kind = salesforce, reading, hierarchy, kind
        self.fields = [*self.FIELDS, "CurrencyIsoCode"] if has_currency else list(self.FIELDS)

    def partitions(self, cursor: str | None) -> list[str]:
        if self.kind is None:
            return []
        told = Cursor.of(cursor)
        where = f" WHERE ForecastingTypeId = '{self.kind}'"
        if told and told.at:
            where += f" AND SystemModstamp >= {_instant(datetime.fromisoformat(told.at) - OVERLAP)}"
        moved = self.salesforce.records(f"SELECT PeriodId FROM ForecastingItem{where} GROUP BY PeriodId")
        return sorted(record["PeriodId"] for record in moved)

    def pages(self, partition: str, resume: str | None) -> Iterator[Page]:
        categories = ", ".join(f"'{name}'" for name in CATEGORIES)
        soql = (
            f"SELECT {', '.join(self.fields)} FROM ForecastingItem WHERE ForecastingTypeId = '{self.kind}' "
            f"AND PeriodId = '{partition}' AND ForecastingItemCategory IN ({categories})"
        )
        items = [item for rows, _ in self.salesforce.rows(soql, self.fields, bulk=False) for item in rows.to_pylist()]
        of = defaultdict(list)
        for item in {item["Id"]: item for item in items}.values():
            of[item["OwnerId"], item.get("CurrencyIsoCode") or ""].append(item)
        start = self.hierarchy.periods.get(partition, {}).get("StartDate")
        rows = [
            {"Id": "/".join(filter(None, (user, partition, currency, scope))), "OwnerId": user, "Scope": scope,
             "PeriodStartDate": start, "CurrencyIsoCode": currency or None, **amounts}
            for (user, currency), told in of.items()
            for scope, amounts in _calls(told, user in self.hierarchy.leaders)
        ]  # fmt: skip
        yield Page({FORECAST.name: rows}, reached=max((item["SystemModstamp"][:23] for item in items), default=None))

    def is_whole(self, cursor: str | None) -> bool:
        return False  # items of periods long gone are cleared away; what was called stays

    def cursor(self, before: str | None, reached: str | None) -> str:
        told = Cursor.of(before)
        at = max(filter(None, (told and told.at, reached)), default=None)
        return Cursor(self.reading.org, self.reading.fields, at).text()


def _calls(items: list[dict[str, Any]], leads: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Somebody's scopes and amounts in a period: own; or the team's, and own where own deals are in it."""
    stamp = max(item["SystemModstamp"] for item in items)
    scopes = {"team": "ForecastAmount", "own": "OwnerOnlyAmount"} if leads else {"own": "ForecastAmount"}
    for scope, field in scopes.items():
        amounts: dict[str, Decimal] = defaultdict(
            Decimal
        )  # a sum over product families or territories, where forecast so
        for item in items:
            if item[field] is not None:
                amounts[CATEGORIES[item["ForecastingItemCategory"]]] += Decimal(item[field])
        if scope == "team" or not leads or any(amounts.values()):
            yield scope, {"LastModifiedDate": stamp, "SystemModstamp": stamp, **amounts}


def _instant(at: datetime) -> str:
    """As SOQL writes instants."""
    return at.isoformat(timespec="seconds") + "Z"
