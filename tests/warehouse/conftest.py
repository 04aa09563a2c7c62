"""Companies that several tests look at."""

from __future__ import annotations

import pytest

from tests.made_once import made_once
from tests.warehouse.company import Company


@pytest.fixture(scope="session")
def demo_company(tmp_path_factory) -> Company:
    """The default demo company, built once."""
    return Company(made_once(tmp_path_factory, "demo", lambda folder: Company(folder).build()))
