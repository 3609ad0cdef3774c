"""Splits in which no voice crosses: whole speakers are dealt, by their shares."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from pipeline.errors import ConfigError


def assign_splits(speakers: Collection[str], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """The split of each speaker: as many as its share says, by largest remainders, at least one.

    Which ones depends on the seed and the names alone. Raises ConfigError for fewer speakers than splits.
    """
    count = len(speakers)
    if count < len(shares):
        raise ConfigError(
            f"{len(shares)} splits and {count} voices: no voice may cross, so each split needs one"
        )
    whole = sum(shares.values())
    exact = {name: count * share / whole for name, share in shares.items()}
    sizes = {name: max(1, int(size)) for name, size in exact.items()}
    while (rest := count - sum(sizes.values())) != 0:
        # towards the share: to the one that is furthest below its own, from the one that is furthest above
        step = 1 if rest > 0 else -1
        movable = [name for name in sizes if sizes[name] + step >= 1]
        best = max(movable, key=lambda name: step * (exact[name] - sizes[name]))
        sizes[best] += step
    order = sorted(speakers, key=lambda speaker: hashlib.sha256(f"{seed}:split:{speaker}".encode()).digest())
    names = [name for name, size in sizes.items() for _ in range(size)]
    return dict(zip(order, names, strict=True))
