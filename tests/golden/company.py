"""The golden company: landed export by export, with its own settings and its own hand-kept tables."""

from __future__ import annotations

from pathlib import Path

from dagster_project.warehouse import connect
from tests.warehouse.company import EVERYTHING_BUT_FORECAST, Company

HERE = Path(__file__).parent
EXPORTS = ("2025-02-07", "2025-02-10", "2025-02-19")
SETTINGS = {"business_timezone": "America/New_York", "fiscal_year_start_month": 2}
SEEDS = ("exclusions", "excluded_loss_reasons", "holidays")


def golden_company_in(folder: Path) -> Company:
    return Company(folder, SETTINGS, sources=("files",))


def build_golden_company(folder: Path) -> Company:
    """The three exports as three loads, the marts as they stand after the last."""
    company = golden_company_in(folder)
    for export in EXPORTS:
        company.land(files=HERE / "exports" / export)
    company.build("--select", "resource_type:seed")
    replace_seeds(company)
    return company.build(*EVERYTHING_BUT_FORECAST, "resource_type:seed")


def replace_seeds(company: Company) -> None:
    """The project's own exclusions and holidays give way to the golden company's."""
    with connect(company.settings.warehouse) as connection:
        for seed in SEEDS:
            connection.execute(f"delete from seeds.{seed}")
            connection.execute(f"insert into seeds.{seed} from '{HERE / 'seeds' / seed}.csv'")
