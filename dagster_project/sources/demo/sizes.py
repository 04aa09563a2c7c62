"""How large a demo company is simulated. Sizes differ in people and activity, never in behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

AS_OF_DATE = date(2025, 11, 16)  # a Sunday: the last simulated load is at its end


@dataclass(frozen=True)
class Size:
    """One preset.

    starts: the first simulated load. teams, reps_per_team: seats, each filled by one person at a time.
    activities_per_deal: mean number logged on a deal. defect_scale: multiplies the planted number of each defect.
    duplicate_share: second records of deals, three quarters of them merged in time.
    """

    name: str
    starts: date
    teams: int
    reps_per_team: int
    activities_per_deal: float
    defect_scale: float = 1.0
    duplicate_share: float = 0.016


SIZES = {
    size.name: size
    for size in (
        Size("tiny", date(2024, 8, 1), 3, 4, 5, 0.34, 0.05),
        Size("default", date(2022, 10, 1), 8, 5, 10),
        Size("medium", date(2022, 10, 1), 10, 9, 58, 2),
        Size("large", date(2022, 10, 1), 75, 12, 54, 10),
        Size("huge", date(2022, 10, 1), 400, 14, 9, 40),
    )
}
