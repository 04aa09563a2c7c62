"""The demo company behind the three emulated APIs, and the same company as the demo source lands it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from dagster_project.sources.demo import DemoSource
from dagster_project.warehouse import ALL_TABLES
from tests.emulators import gong, hubspot, salesforce
from tests.emulators.base import Company, Server


@dataclass
class Live:
    """The three servers over one folder. environment: the settings that point the connectors there."""

    servers: Mapping[str, Server]
    companies: Mapping[str, Company]
    org: salesforce.Org

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SALESFORCE_LOGIN_URL": self.servers["salesforce"].url,
            "SALESFORCE_CLIENT_ID": salesforce.CLIENT_ID,
            "SALESFORCE_CLIENT_SECRET": salesforce.CLIENT_SECRET,
            "HUBSPOT_URL": self.servers["hubspot"].url,
            "HUBSPOT_TOKEN": hubspot.TOKEN,
            "GONG_URL": self.servers["gong"].url,
            "GONG_ACCESS_KEY": gong.KEY,
            "GONG_ACCESS_KEY_SECRET": gong.SECRET,
            "GONG_SINCE": "2024-06-01",
        }

    def move_to(self, clock: datetime) -> None:
        for company in self.companies.values():
            company.clock = clock


@contextmanager
def emulated(folder: Path) -> Iterator[Live]:
    """All three APIs over the company whose files are in the folder."""
    with (
        salesforce.salesforce(Company(folder, "raw_salesforce")) as (sales_server, org),
        hubspot.portal(folder) as (hubspot_server, portal),
        gong.recorder(folder) as (gong_server, recorder),
    ):
        yield Live(
            {"salesforce": sales_server, "hubspot": hubspot_server, "gong": gong_server},
            {"salesforce": org.company, "hubspot": portal, "gong": recorder},
            org,
        )


def seen_at(folder: Path, clocks: Sequence[datetime], to: Path) -> Path:
    """The company as somebody knows it who looks at these instants only: of each record the newest version at each.

    That is all an API can tell; what came and went between two looks is lost to both. Of a deal that is archived when
    it is seen first, HubSpot does not tell any more whose it was, so its associations are left out.
    """
    to.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute("create table clocks as select unnest(?::timestamp[]) as clock", [list(clocks)])
        for table in ALL_TABLES:
            file = folder / f"{table.schema}.{table.name}.parquet"
            if not file.exists():
                continue
            key = ", ".join(f'"{column}"' for column in table.key)
            connection.execute(
                f"""
                copy (
                    select rows.* replace (clock as _extracted_at)
                    from read_parquet('{file}', file_row_number = true) as rows
                    asof join clocks on clock >= rows._extracted_at
                    qualify row_number() over (
                        partition by {key}, clock order by rows._extracted_at desc, file_row_number desc
                    ) = 1
                    order by clock, {key}
                ) to '{to / file.name}'
                """
            )
        for name in ("deal_company", "deal_contact"):
            file = to / f"raw_hubspot.{name}.parquet"
            connection.execute(
                f"""
                create or replace table told as
                from '{file}' where deal_id not in (
                    select id from '{to}/raw_hubspot.deal.parquet' group by id having bool_and(archived)
                )
                """
            )
            connection.execute(f"copy told to '{file}'")
    return to


class SeenDemo(DemoSource):
    """The demo source over files that are there already."""

    def __init__(self, files: Path, until: datetime) -> None:
        super().__init__("tiny", 42, files.parent)
        self.files, self.until = files, until.date()

    @property
    def folder(self) -> Path:
        return self.files
