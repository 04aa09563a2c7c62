"""The Salesforce source put together: what this login can read, and a stream for each of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster_project.dbt_build import company_settings
from dagster_project.settings import UserError
from dagster_project.sources import Table
from dagster_project.sources.api import ApiSource, Client, Drift, Stream
from dagster_project.sources.api.fields import FieldMap
from dagster_project.sources.salesforce.access import SalesforceAccess
from dagster_project.sources.salesforce.api import DIALECT, Salesforce
from dagster_project.sources.salesforce.objects import CURRENCY_TYPE, FORECAST, OBJECTS, QUOTA
from dagster_project.sources.salesforce.shapes import TABLES
from dagster_project.sources.salesforce.streams import (
    CurrencyStream,
    Cursor,
    ForecastStream,
    Hierarchy,
    ObjectStream,
    QuotaStream,
    Reading,
)


class SalesforceSource(ApiSource):
    """One organisation. fields: where its fields are named otherwise. pause: waits, so that tests need not."""

    origin = "salesforce"

    def __init__(
        self,
        access: SalesforceAccess,
        folder: Path,
        say: Callable[[str], None] = print,
        fields: FieldMap | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(folder, say)
        self.access, self.fields = access, fields or FieldMap()
        login = access.login(self.tell, pause)
        self.client = Client("Salesforce", login=login, dialect=DIALECT, say=self.tell, pause=pause)
        self.salesforce = Salesforce(self.client, access.api_version)
        self.drift = Drift(self.folder.parent / "salesforce.fields.json", self.origin, self.tell)

    def tables(self) -> list[Table]:
        return list(TABLES)

    def now(self) -> datetime:
        return self.client.now()

    def reading(self) -> str:
        return self.fields.fingerprint

    def streams(self) -> Iterator[Stream]:
        self._check_organisation()
        for what in OBJECTS:
            fields = self._readable(what.name, what.table, is_optional=what.is_optional)
            if fields:
                yield ObjectStream(self.salesforce, self._reading, what, fields)
        if fields := self._readable("CurrencyType", CURRENCY_TYPE, made=("StartDate",), is_optional=True):
            yield CurrencyStream(self.salesforce, self._reading, fields)
        if fields := self._readable("ForecastingQuota", QUOTA, made=("PeriodEndDate__c",), is_optional=True):
            yield QuotaStream(self.salesforce, self._reading, fields, self._hierarchy)
        made = tuple(name for name in FORECAST.columns if name not in ("Id", "OwnerId", "SystemModstamp"))
        if self._readable("ForecastingItem", FORECAST, made=made, is_optional=True):
            kind = self._forecast_type()
            yield ForecastStream(self.salesforce, self._reading, self._hierarchy, kind, self._has_currencies)

    @cached_property
    def _reading(self) -> Reading:
        days = self.access.reconcile_days
        reconcile = timedelta(days=days) if days else None
        return Reading(self._organisation["Id"], self.fields.fingerprint, lambda: self.began, reconcile)

    @cached_property
    def _organisation(self) -> dict[str, Any]:
        [told] = self.salesforce.records(
            "SELECT Id, Name, TimeZoneSidKey, FiscalYearStartMonth, UsesStartDateAsFiscalYearName, IsSandbox "
            "FROM Organization"
        )
        return told

    @cached_property
    def _hierarchy(self) -> Hierarchy:
        periods = self.salesforce.records("SELECT Id, StartDate, EndDate FROM Period")
        roles = []
        if self.salesforce.describe("UserRole"):
            roles = self.salesforce.records("SELECT ForecastUserId FROM UserRole WHERE ForecastUserId != null")
        else:
            self.say("warning: salesforce UserRole: not read, so every forecast counts as the person's own")
        leaders = frozenset(role["ForecastUserId"] for role in roles)
        return Hierarchy({period["Id"]: period for period in periods}, leaders)

    def _forecast_type(self) -> str | None:
        """The forecast type whose calls are read: the one that is set, else the first; None where nobody forecasts."""
        used = self.salesforce.records("SELECT ForecastingTypeId FROM ForecastingItem GROUP BY ForecastingTypeId")
        ids = sorted(row["ForecastingTypeId"] for row in used)
        if not ids:
            return None
        types = self.salesforce.records("SELECT Id, DeveloperName FROM ForecastingType")
        names = {row["Id"]: row["DeveloperName"] for row in types if row["Id"] in ids}
        wanted = self.access.forecast_type
        if wanted:
            found = next((each for each, name in names.items() if name == wanted), None)
            if found is None:
                known = ", ".join(names.values())
                raise UserError(f"SALESFORCE_FORECAST_TYPE: nothing is forecast by {wanted!r}; known: {known}")
            return found
        if len(ids) > 1:
            others = ", ".join(name for each, name in names.items() if each != ids[0])
            read = f"salesforce ForecastingItem: type {names.get(ids[0])} is read, not {others}"
            self.say(f"{read}; SALESFORCE_FORECAST_TYPE names another")
        return ids[0]

    @cached_property
    def _has_currencies(self) -> bool:
        return self.salesforce.describe("CurrencyType") is not None

    def _readable(
        self, name: str, table: Table, made: tuple[str, ...] = (), is_optional: bool = False
    ) -> dict[str, str]:
        """Column to field, as far as this login can read them; empty, and said, where it cannot read the object.

        made: columns that the connector makes itself.
        """
        told = self.salesforce.describe(name)
        if told is None or not told.get("queryable", True):
            why = "this organisation has no such feature, or this login no right to it"
            self.say(f"{'' if is_optional else 'warning: '}salesforce {name}: not read, {why}")
            return {}
        there = {field["name"] for field in told["fields"]}
        related = {field["relationshipName"] for field in told["fields"] if field.get("relationshipName")}
        wanted = {column: field for column, field in self.fields.of(table).items() if column not in made}
        if "CurrencyIsoCode" in wanted and "CurrencyIsoCode" not in there and not self._has_currencies:
            del wanted["CurrencyIsoCode"]  # with one currency only no record says it
        first = {field.partition(".")[0] for field in wanted.values() if "." in field}
        fields = [field for field in wanted.values() if "." not in field]
        readable = set(self.drift.readable(name, fields, there, "removed, or hidden from this login"))
        for relation in first - related:
            self.say(f"warning: salesforce {name} has no relation {relation}: null in the rows that arrive from now on")
        return {
            column: field
            for column, field in wanted.items()
            if (field in readable if "." not in field else field.partition(".")[0] in related)
        }

    def _check_organisation(self) -> None:
        """UserError where the rows landed before are another organisation's; says what its calendar tells otherwise."""
        told = self._organisation
        for text in self._progress.cursors.values():
            before = Cursor.of(text)
            if before and before.org != told["Id"]:
                raise UserError(
                    f"Salesforce: this login is for organisation {told['Id']} ({told['Name']}), but the warehouse "
                    f"holds rows of {before.org}; log in there, or set WAREHOUSE_PATH to another file"
                )
        settings = company_settings()
        zone = told["TimeZoneSidKey"]
        here = {
            "business_timezone": "UTC" if zone in ("Etc/UTC", "GMT") else zone,
            "fiscal_year_start_month": told["FiscalYearStartMonth"],
            "fiscal_year_named_by": "start" if told["UsesStartDateAsFiscalYearName"] else "end",
        }
        for name, value in here.items():
            if value is not None and str(settings.get(name)) != str(value):
                self.say(f"warning: Salesforce says {name} is {value}, dbt/dbt_project.yml says {settings.get(name)}")
