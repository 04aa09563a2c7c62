"""The embedded default: a company simulated day by day, written in the shapes of Salesforce, HubSpot and Gong.

Same size, seed and code: same bytes. The ground truth beside the raw files is for tests and benchmarks only.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

import numpy as np

from dagster_project.settings import UserError
from dagster_project.sources import Extract, Rejected, Table
from dagster_project.sources.demo import contacts, defects, emit_gong, emit_hubspot, emit_salesforce, planning, truth
from dagster_project.sources.demo.activities import chunks
from dagster_project.sources.demo.company import Company, found
from dagster_project.sources.demo.deals import Deals, simulate
from dagster_project.sources.demo.marketing import promote
from dagster_project.sources.demo.parquet import Files
from dagster_project.sources.demo.records import named
from dagster_project.sources.demo.sizes import SIZES
from dagster_project.sources.gong.shapes import TABLES as GONG
from dagster_project.sources.hubspot.shapes import TABLES as HUBSPOT
from dagster_project.sources.salesforce.shapes import TABLES as SALESFORCE

CODE_VERSION = 5  # raise it whenever the same seed gives other bytes


class DemoSource:
    """The demo company of a size and seed, simulated into `cache` on first use and read from there after."""

    origin = "demo"
    system = "demo"

    def __init__(
        self,
        size: str,
        seed: int,
        cache: Path,
        faults: Iterable[str] = (),
        say: Callable[[str], None] | None = None,
        until: date | None = None,
    ):
        """until: the last simulated day to hand over, so that the rest can arrive in later runs; None for all."""
        if size not in SIZES:
            raise UserError(f"unknown demo size '{size}', known are {', '.join(SIZES)}")
        unknown = set(faults) - set(defects.FAULTS)
        if unknown:
            raise UserError(f"unknown demo fault '{min(unknown)}', known are {', '.join(defects.FAULTS)}")
        self.size, self.seed, self.faults = SIZES[size], seed, tuple(sorted(faults))
        self.cache, self.say, self.until = Path(cache), say or (lambda line: None), until

    @property
    def folder(self) -> Path:
        return self.cache / "-".join(["demo", self.size.name, str(self.seed), str(CODE_VERSION), *self.faults])

    @property
    def fingerprint(self) -> str:
        """Another size, seed or code is another company, which takes the place of the one landed before."""
        return self.folder.name

    def tables(self) -> list[Table]:
        return [*SALESFORCE, *HUBSPOT, *GONG]

    def extracts(self) -> Iterable[Extract]:
        """One select a table; rows carry their own `_extracted_at`, a simulated load each day."""
        self.prepare()
        for table in self.tables():
            path = str(self.folder / f"{table.schema}.{table.name}.parquet").replace("'", "''")
            until = f" where cast(_extracted_at as date) <= date '{self.until}'" if self.until else ""
            yield Extract(table, f"select * from read_parquet('{path}'){until}")

    def rejected(self) -> Iterable[Rejected]:
        return ()

    def prepare(self) -> Path:
        """Simulate unless it is there already; a killed run leaves no half company."""
        if self.folder.exists():
            return self.folder
        self.cache.mkdir(parents=True, exist_ok=True)
        partial = self.cache / f".{self.folder.name}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            write(self.size.name, self.seed, partial, self.faults, self.say)
            try:
                partial.rename(self.folder)
            except OSError:
                if not self.folder.exists():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return self.folder


def write(size: str, seed: int, folder: Path, faults: tuple[str, ...], say: Callable[[str], None]) -> None:
    """Simulate a company and write its raw tables and truth as Parquet."""
    company = found(SIZES[size], seed)
    deals = simulate(company)
    say(f"demo {size}: {int((deals.created <= company.last_second).sum()):,} deals")
    files = Files(folder)
    emit(files, company, deals, faults, say)
    files.close()


# Features this company does without: line items and splits, HubSpot's goals and forecast tool, words heard in calls.
NOT_USED = (
    "raw_salesforce.opportunity_line_item", "raw_salesforce.opportunity_split", "raw_hubspot.goal_target",
    "raw_hubspot.forecast_submission", "raw_gong.call_tracker", "raw_gong.call_transcript",
)  # fmt: skip


def held(company: Company, deals: Deals, where: np.ndarray) -> dict:
    """The tracks of the deals one system holds, as of the last load."""
    known = where & (deals.created <= company.last_second)
    return {
        name: track.only((track.at <= company.last_second) & known[track.record])
        for name, track in deals.tracks.items()
    }


def emit(files: Files, company: Company, deals: Deals, faults: tuple[str, ...], say: Callable[[str], None]) -> None:
    made = promote(company, deals)
    records = named(company, deals)
    planted = defects.plant(company, deals, faults)
    roles = defects.without(contacts.roles(company, deals), planted)
    late = planted.late
    salesforce, hubspot = held(company, deals, deals.in_salesforce), held(company, deals, deals.in_hubspot)
    for table in (*SALESFORCE, *HUBSPOT, *GONG):
        if table.relation in NOT_USED:
            files.write(table, [])
    emit_salesforce.users(files, company, records)
    emit_salesforce.stages(files, company)
    emit_salesforce.currencies(files, company)
    emit_salesforce.accounts(files, company, records)
    emit_salesforce.opportunities(files, company, deals, records, salesforce)
    emit_salesforce.opportunity_history(files, company, deals, records, salesforce, late)
    emit_salesforce.opportunity_field_history(files, company, deals, records, salesforce)
    emit_salesforce.contact_roles(files, deals, records, roles)
    emit_salesforce.marketing(files, company, deals, records, made)
    emit_salesforce.quotas(files, company, records, planning.quotas(company))
    emit_salesforce.forecast_calls(files, company, records, planning.calls(company, deals))
    emit_hubspot.owners(files, company, records)
    emit_hubspot.pipelines(files, company)
    emit_hubspot.companies(files, company, records)
    emit_hubspot.deals(files, company, deals, records, hubspot)
    emit_hubspot.property_history(files, company, deals, records, hubspot, late)
    emit_hubspot.deal_contacts(files, deals, records, roles)
    truth.write(files, company, deals, records)
    defects.write(files, company, deals, records, planted)
    every = np.arange(len(company.spells))
    emit_gong.users(files, company, records, emit_salesforce.managers_of(company, every, company.spells.start))
    for chunk in chunks(company, deals, planted.quiet, planted.early):
        emit_salesforce.activities(files, company, deals, records, chunk)
        emit_hubspot.activities(files, company, deals, records, chunk)
        emit_gong.calls(files, company, deals, records, chunk)
        truth.same_activities(files, deals, chunk)
        say(f"demo {company.size.name}: {int(chunk.number[-1]) + 1 if len(chunk) else 0:,} activities")
