"""A file that was cut off is told in one line, and what was published stays. Text files: `sources/test_files.py`."""

from __future__ import annotations

import duckdb
import pytest

from tests.faults.export import cut, write_export
from tests.faults.runs import Place


@pytest.fixture
def export_place(tmp_path) -> Place:
    folder = write_export(tmp_path / "export")
    return Place(tmp_path / "place", WAREHOUSE_SOURCES="files", WAREHOUSE_FILES=str(folder))


def test_warehouse_cut_off(published_before):
    place, served = published_before, published_before.release()
    cut(place.warehouse)
    line = place.run().complaint()
    assert str(place.warehouse) in line
    assert "damaged" in line
    assert place.release() == served


def test_parquet_of_an_export_cut_off(export_place, tmp_path):
    export = tmp_path / "export"
    deals = export / "deals.csv"
    duckdb.sql(f"copy (from read_csv('{deals}', all_varchar = true)) to '{deals.with_suffix('.parquet')}'")
    mapping = export / "mapping.yml"
    mapping.write_text(mapping.read_text().replace("deals.csv", "deals.parquet"))
    cut(export / "deals.parquet")
    assert "deals.parquet" in export_place.run().complaint()
    assert export_place.release() is None


def test_demo_file_cut_off(nothing_yet, tmp_path):
    """The embedded company's own files are a cache on a disk, too."""
    own = nothing_yet.warehouse.parent
    shared = (own / "demo").resolve()
    (own / "demo").unlink()
    for folder in shared.iterdir():
        (own / "demo" / folder.name).mkdir(parents=True)
        for file in folder.rglob("*.parquet"):
            copied = own / "demo" / folder.name / file.relative_to(folder)
            copied.parent.mkdir(exist_ok=True)
            copied.write_bytes(file.read_bytes())
        cut(own / "demo" / folder.name / "raw_salesforce.opportunity.parquet")
    assert "raw_salesforce.opportunity" in nothing_yet.run().complaint()
    assert nothing_yet.release() is None
