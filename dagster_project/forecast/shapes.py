"""The tables that results of the forecast are kept in, in schema `archive`: their columns, and whether they are only
appended to.

Data alone, so that whoever makes the tables loads nothing else. Not here: what is written to them (`store.py`).
"""

from __future__ import annotations

_KEY = {"company_id": "BIGINT", "lock_date": "DATE"}
_PARTS = {
    name: "DECIMAL(18,2)"
    for name in ("won_amount", "open_deals_amount", "new_deals_amount", "call_adjustment_amount", "mean_amount")
}
_RANGE = {name: "DECIMAL(18,2)" for name in ("p10_amount", "p50_amount", "p90_amount")}
_ORIGIN = {
    "basis": "VARCHAR",
    "trained_quarter_count": "INTEGER",
    "model_version": "VARCHAR",
    "is_backfilled": "BOOLEAN",
}
_ERROR = {
    "forecast_amount": "DECIMAL(18,2)", **_RANGE, "actual_amount": "DECIMAL(18,2)", "actual_count": "BIGINT",
    "children_error_amount": "DECIMAL(18,2)",
}  # fmt: skip

# Table to its columns, what it holds, and whether it is appended to (or replaced).
TABLES: dict[str, tuple[dict[str, str], str, bool]] = {
    "deal_forecasts": (
        {
            **_KEY, "opportunity_id": "VARCHAR", "rep_id": "VARCHAR", "team": "VARCHAR", "segment": "VARCHAR",
            "forecast_category": "VARCHAR", "supported_category": "VARCHAR", "amount_base": "DECIMAL(18,2)",
            "win_in_quarter_probability": "DECIMAL(9,6)", "win_probability": "DECIMAL(9,6)",
            "amount_if_won": "DECIMAL(18,2)", "expected_amount": "DECIMAL(18,2)", "base_rate": "DECIMAL(9,6)",
            "reasons": "VARCHAR", **_ORIGIN,
        },
        "One row a company, open deal and lock: the model's forecast as it was made; append-only",
        True,
    ),
    "quarter_forecasts": (
        {**_KEY, "level": "VARCHAR", "level_id": "VARCHAR", **_PARTS, **_RANGE, **_ORIGIN},
        "One row a company, level and lock: the model's forecast as it was made; append-only",
        True,
    ),
    "backtest": (
        {**_KEY, "method": "VARCHAR", "level": "VARCHAR", "level_id": "VARCHAR", "basis": "VARCHAR", **_ERROR},
        "One row a company, method, level and lock of a settled quarter: what the newest backtest found",
        False,
    ),
    "backtest_people": (
        {
            **_KEY, "quarter_start_date": "DATE", "week_of_quarter": "INTEGER", "rep_id": "VARCHAR", "team": "VARCHAR",
            "segment": "VARCHAR", "basis": "VARCHAR",
            **dict.fromkeys(
                (
                    *("call_amount", "won_amount", "won_count", "days_on_job", "opened_count", "open_amount"),
                    *("new_amount", "call_adjustment_amount", "mean_amount", "variance", "open_won_amount"),
                    *("open_won_count", "actual_amount", "actual_count", "new_actual_amount", "new_actual_count"),
                ),
                "DOUBLE",
            ),
        },
        "One row a company, person and lock of a settled quarter: what the next locks learn calls and ranges from",
        False,
    ),
    "calibration": (
        {
            "company_id": "BIGINT", "method": "VARCHAR", "quarter_start_date": "DATE", "bin_number": "INTEGER",
            "deal_count": "BIGINT", "won_count": "BIGINT", "predicted_count": "DOUBLE", "squared_error": "DOUBLE",
            "base_squared_error": "DOUBLE",
        },
        "One row a company, method, quarter and tenth of the chances: what the newest backtest found",
        False,
    ),
    "rep_bias": (
        {
            "company_id": "BIGINT", "rep_id": "VARCHAR", "quarter_start_date": "DATE", "team": "VARCHAR",
            "call_count": "BIGINT", "called_amount": "DECIMAL(18,2)", "came_amount": "DECIMAL(18,2)",
            "quarter_count": "BIGINT",
            **dict.fromkeys(("called_ratio", "team_bias", "bias", "bias_low", "bias_high"), "DECIMAL(18,6)"),
            "habit": "VARCHAR",
        },
        "One row a company, rep and settled quarter: the habit in the calls, as of the newest backtest",
        False,
    ),
}  # fmt: skip


def shapes() -> dict[str, tuple[dict[str, str], str]]:
    """Relation to its columns and what it holds."""
    return {f"archive.{name}": (columns, about) for name, (columns, about, _) in TABLES.items()}
