"""Companies that several tests look at."""

from __future__ import annotations

import pytest

from tests.warehouse.company import Company


@pytest.fixture(scope="session")
def demo_company(tmp_path_factory) -> Company:
    """The default demo company, built once."""
    return Company(tmp_path_factory.mktemp("demo")).build()
