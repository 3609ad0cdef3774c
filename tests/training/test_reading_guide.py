"""The guide's loss where attention is even, so that it can be worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from pipeline.training.phones import PHONES
from pipeline.training.reading_guide import (
    Reading,
    ReadingGuide,
    even_progress,
    near_reading,
    phone_progress,
)


def test_the_loss_of_even_attention_by_hand() -> None:
    guide = ReadingGuide([Reading((1, 3), 3, even_progress(2))], layer=0)
    # two positions of the prompt, then five: one, two letters, two columns
    visible = torch.ones(5, 7, dtype=torch.bool).tril(2)
    guide.look(0, torch.zeros(1, 4, 5, 8), torch.randn(1, 4, 7, 8), visible, 1.0)
    near = near_reading(torch.from_numpy(even_progress(2)), 2, 0.08).exp()
    # the first column sees six positions, the second seven
    expected = -(math.log(near[0].sum() / 6) + math.log(near[1].sum() / 7)) / 2
    assert float(guide.loss()) == pytest.approx(expected, rel=1e-6)


def test_an_even_reader_begins_and_ends_with_the_clip() -> None:
    near = near_reading(torch.from_numpy(even_progress(50)), 20, 0.08)
    free = [row.nonzero()[:, 0].tolist() for row in near == 0]
    # a letter is a twentieth of the text: one and a half of them to either side are free
    assert free[0] == free[2] == [0, 1]
    assert free[-1] == free[-3] == [18, 19]
    assert free[25] == [9, 10, 11]
    assert all(a[0] <= b[0] for a, b in pairwise(free))
    # frame 25 is 25.5 - 2.5 of 45 through, letter 14 is 14.5 of 20: 0.08 of that is free, 0.04 a deviation
    off = 14.5 / 20 - 23 / 45 - 0.08
    assert float(near[25, 14]) == pytest.approx(-(off**2) / (2 * 0.04**2), rel=1e-4)


def test_a_reader_is_as_far_in_the_text_as_in_the_phones() -> None:
    said = "pau pau s s", "s iy iy iy", "pau pau pau pau", "pau t t t"
    phones = np.array([[PHONES.index(phone) for phone in frame.split()] for frame in said], np.uint8)
    # three phones; in the middle of a frame: in s, in iy, after iy, in t
    assert phone_progress(phones).tolist() == pytest.approx([0.5 / 3, 1.5 / 3, 2 / 3, 2.5 / 3])
    assert phone_progress(np.zeros((2, 4), np.uint8)).tolist() == [0, 0]


def test_attention_at_the_right_letters_costs_less_than_at_the_wrong_ones() -> None:
    frames = letters = 12
    visible = torch.ones(24, 24, dtype=torch.bool).tril()
    key, query = torch.zeros(1, 2, 24, 24), torch.zeros(1, 2, 24, 24)
    key[0, :, range(24), range(24)] = 1.0
    losses = []
    for order in (range(letters), reversed(range(letters))):
        query[0, :, range(12, 24)] = 0.0
        query[0, :, range(12, 24), list(order)] = 30.0
        guide = ReadingGuide([Reading((0, letters), letters, even_progress(frames))], layer=0)
        guide.look(0, query, key, visible, 1.0)
        losses.append(float(guide.loss()))
    # as far off as 1.0 was allowed to be with a deviation of 0.05: the bell is narrower, not the bound
    assert losses[0] < 1.0 * (0.05 / 0.04) ** 2 < losses[1]
