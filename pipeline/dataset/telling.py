"""Names in a line."""

from __future__ import annotations

from collections.abc import Sequence

_NAMES_SHOWN = 5


def some_of(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
