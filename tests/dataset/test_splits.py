"""Whole speakers, by shares, at least one a split."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.splits import assign_splits
from pipeline.errors import ConfigError

SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}


@pytest.mark.parametrize(
    ("speakers", "sizes"),
    [(3, (1, 1, 1)), (5, (3, 1, 1)), (10, (8, 1, 1)), (20, (16, 2, 2)), (100, (80, 10, 10))],
)
def test_speakers_are_dealt_by_their_shares(speakers: int, sizes: tuple[int, int, int]) -> None:
    found = Counter(assign_splits([f"s{i}" for i in range(speakers)], SHARES, 0).values())
    assert tuple(found[name] for name in SHARES) == sizes


def test_which_ones_depends_on_names_and_seed() -> None:
    names = [f"s{i}" for i in range(30)]
    assert assign_splits(names, SHARES, 1) == assign_splits(names[::-1], SHARES, 1)
    assert assign_splits(names, SHARES, 1) != assign_splits(names, SHARES, 2)


def test_fewer_voices_than_splits_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 splits and 2 voices"):
        assign_splits(["a", "b"], SHARES, 0)


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0.001, 1000), min_size=1), st.integers(6, 60))
def test_every_split_is_there_and_near_its_share(shares: dict[str, float], speakers: int) -> None:
    found = Counter(assign_splits([str(i) for i in range(speakers)], shares, 0).values())
    assert found.total() == speakers
    for name, share in shares.items():
        exact = speakers * share / sum(shares.values())
        assert 1 <= found[name] <= max(1, exact + 1)
