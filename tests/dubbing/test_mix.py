"""Gains by hand, sums against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.dubbing.mix import LEAD_S, TAIL_S, duck_gain, mixed

RATE = 1000


def test_the_bed_goes_down_before_the_speech_and_up_behind_it():
    gain = duck_gain([(1000, 2000)], 0, 4000, RATE, 12.0)
    low = 10 ** (-12 / 20)
    np.testing.assert_allclose(gain[:800], 1.0)
    np.testing.assert_allclose(gain[1000:2000], low, rtol=1e-6)
    np.testing.assert_allclose(gain[2600:], 1.0, rtol=1e-6)
    assert gain[900] == pytest.approx(10 ** (-6 / 20), rel=1e-5)  # half of 200 ms before
    assert gain[1999 + 300] == pytest.approx(10 ** (-6 / 20), rel=1e-5)  # half of 600 ms behind
    assert (LEAD_S, TAIL_S) == (0.2, 0.6)
    assert (np.abs(np.diff(20 * np.log10(gain))) < 12 / 200 + 1e-3).all()  # no step


def test_blocks_are_parts_of_the_whole_and_short_gaps_stay_low():
    spans = [(500, 900), (950, 1500), (3000, 3001)]
    whole = duck_gain(spans, 0, 4000, RATE, 20.0)
    parts = [duck_gain(spans, begin, begin + 250, RATE, 20.0) for begin in range(0, 4000, 250)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert 20 * np.log10(whole[900:950].max()) < -17
    np.testing.assert_array_equal(duck_gain([], 0, 100, RATE, 20.0), np.ones(100))


def test_the_mix_is_speech_over_the_lowered_bed():
    rng = np.random.default_rng(1)
    speech = 0.3 * rng.standard_normal(700).clip(-1, 1).astype(np.float32)
    bed = 0.1 * rng.standard_normal((700, 2)).clip(-1, 1).astype(np.float32)
    spans = [(100, 600)]
    blocks = [*mixed(lambda: [speech[:400], speech[400:]], lambda: [bed[:400], bed[400:]], spans, RATE, 10.0)]
    expected = bed * duck_gain(spans, 0, 700, RATE, 10.0)[:, None] + speech[:, None]
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=1e-6)


def test_what_would_clip_is_lowered_as_a_whole():
    speech, bed = np.full(500, 0.9, np.float32), np.full((500, 2), 0.8, np.float32)
    made = np.concatenate([*mixed(lambda: [speech], lambda: [bed], [(0, 500)], RATE, 0.0)])
    np.testing.assert_allclose(made, 10 ** (-1 / 20), rtol=1e-6)
