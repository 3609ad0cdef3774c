"""What narrations and dubs tell of how they were heard: without gates, half of the words may be wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Console

from pipeline.engine.embedded import note_of
from pipeline.views import say

_BADLY_HEARD = 0.5  # of the words
_WORST_SHOWN = 5
REMEDY = "gates (--set gates.max_wer=...) speak such again"


def badly_heard(rates: Mapping[str, float]) -> tuple[int, str]:
    """Of error rates by name: how many are above a half, and the worst of those, as `name 0.80, ...`."""
    bad = sorted((name for name in rates if rates[name] > _BADLY_HEARD), key=lambda name: -rates[name])
    return len(bad), ", ".join(f"{name} {rates[name]:.2f}" for name in bad[:_WORST_SHOWN])


def print_notes(console: Console, models: Iterable[str]) -> None:
    """What a listener must know of the models `name@revision` that spoke."""
    for note in filter(None, map(note_of, models)):
        say(console, f"note: {note}")
