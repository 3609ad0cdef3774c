"""Numbers as people read them."""

from __future__ import annotations

from decimal import Decimal


def figure(value: float) -> str:
    """Three significant digits, never as a power of ten: 217.4 is "217", 0.0333333 "0.0333"."""
    return format(Decimal(f"{value:.2e}"), "f") if value else "0"


def told_apart(value: float, limit: float) -> tuple[str, str]:
    """Two different numbers with as many digits as it takes to see that, at least four: 0.59999 and 0.6."""
    whole = f"{limit:.15g}"
    written = (f"{value:.{digits}g}" for digits in range(4, 17))
    return next((text for text in written if text != whole), repr(value)), whole
