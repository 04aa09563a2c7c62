"""The gate: whether what arrived, and what the forecast would rest on, may be used.

Plain Python over `expectations/*.yml`. What must hold is written there, what a failed check stops is wired in `defs/`;
neither belongs here.
"""

from dagster_project.gate.judging import Verdict, run_suites
from dagster_project.gate.recording import FINGERPRINT, Outcome, fingerprint, record, require_pass, run_gate
from dagster_project.gate.suites import (
    EXPECTATIONS,
    FORECAST_INPUTS,
    INPUTS,
    RAW,
    SEVERITIES,
    VERDICT,
    Rule,
    Suite,
    broken_by,
    load_suites,
)

__all__ = [
    "EXPECTATIONS",
    "FINGERPRINT",
    "FORECAST_INPUTS",
    "INPUTS",
    "RAW",
    "SEVERITIES",
    "VERDICT",
    "Outcome",
    "Rule",
    "Suite",
    "Verdict",
    "broken_by",
    "fingerprint",
    "load_suites",
    "record",
    "require_pass",
    "run_gate",
    "run_suites",
]
