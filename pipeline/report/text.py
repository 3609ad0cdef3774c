"""Numbers as the page writes them."""

from __future__ import annotations


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction; a dash for None."""
    return "\u2013" if value is None else f"{100 * value:.{digits}f}\u202f%"
