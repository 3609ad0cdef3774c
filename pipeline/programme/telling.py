"""How far a long walk through sound has come, told now and then: an hour of it takes a minute or two."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from pipeline.programme.timeline import Samples

Say = Callable[[str], None]
EVERY_S = 10.0


def silent(_: str) -> None:
    """For who has nobody to tell."""


def telling(
    blocks: Iterable[Samples],
    doing: str,
    minutes: float,
    rate: int,
    say: Say,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Samples]:
    """The blocks as they are; of `minutes` of sound in all it says every ten seconds how many are done."""
    told, samples = clock(), 0
    for block in blocks:
        yield block
        samples += len(block)
        if clock() - told >= EVERY_S:
            told = clock()
            say(f"{doing}: {samples / rate / 60:.0f} of {minutes:.0f} min")
