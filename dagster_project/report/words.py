"""Figures as a person reads them: short in a sentence, whole in a table."""

from __future__ import annotations

from decimal import Decimal

Amount = Decimal | float | int | None
NONE, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def money(amount: Amount) -> str:
    """`2.71 M`, `706 K`, `14.7 K`, `954`; a dash where there is none."""
    if amount is None:
        return NONE
    size, sign = abs(float(amount)), MINUS if round(float(amount)) < 0 else ""
    if size >= 999_500:
        return f"{sign}{size / 1e6:.2f} M"
    if size >= 99_950:
        return f"{sign}{size / 1e3:.0f} K"
    return f"{sign}{size / 1e3:.1f} K" if size >= 999.5 else f"{sign}{size:.0f}"


def signed(amount: Amount) -> str:
    """As money, a gain with its sign too."""
    return f"+{money(amount)}" if amount is not None and round(float(amount)) > 0 else money(amount)


def exact(amount: Amount) -> str:
    """`2,705,700`."""
    return NONE if amount is None else f"{float(amount):,.0f}".replace("-", MINUS)


def percent(share: Amount, digits: int = 0) -> str:
    return NONE if share is None else f"{100 * float(share):.{digits}f} %".replace("-", MINUS)


def times(ratio: Amount) -> str:
    return NONE if ratio is None else f"{float(ratio):.1f} x"
