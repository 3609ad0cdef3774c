"""Properties of any cues and takes, and each decision by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dubbing.fit import Fit, Slot, Take, choose, fit, limit_s, slots_of
from pipeline.programme.subtitles import Cue
from pipeline.programme.timeline import Clip, sample_at, track_blocks

RATE = 24_000

rates = st.sampled_from([8_000, 22_050, 24_000, 44_100, 48_000])
bounds = st.floats(1.0, 2.0)
cues = st.lists(
    st.builds(
        lambda start, length: Cue(start / 1000, (start + length) / 1000, "x"),
        st.integers(0, 20_000),
        st.integers(0, 4_000),
    ),
    max_size=40,
).map(lambda found: sorted(found, key=lambda cue: (cue.start_s, cue.end_s)))


@given(cues, rates, st.integers(1, 30 * 48_000), st.data())
def test_whatever_the_cues_and_takes_nothing_overlaps_and_bounds_hold(cues, rate, length, data):
    slots = slots_of(cues, rate, length)
    assert len(slots) == len(cues)
    most = data.draw(bounds)
    behind = 0
    for cue, slot in zip(cues, slots, strict=True):
        duration = data.draw(st.integers(0, 10 * rate))
        its = fit(duration, slot, most)
        # order kept, no neighbour overlapped, nothing beyond the track
        assert behind <= slot.start <= length
        assert slot.start + its.placed <= length
        behind = slot.start + its.placed
        # on its time to within half a sample, unless it begins beyond the track
        assert abs(slot.start - cue.start_s * rate) <= 0.5 + 1e-6 or slot.start == length
        assert 0 <= slot.length <= slot.room
        # bounds
        assert 1.0 <= its.pace <= most
        assert (its.kind == "no_room") == (slot.room == 0 < duration)
        assert its.kind == "no_room" or its.spoken >= duration / most - 1e-6
        assert its.placed == min(its.spoken, slot.room)
        assert (its.lost > 0) == (its.kind == "cut")
        if its.kind in ("fits", "stretched"):
            assert its.placed <= slot.length
        if its.kind == "fits":
            assert (its.pace, its.placed) == (1.0, duration)


@given(cues, rates, st.integers(1, 200_000), st.data())
def test_clips_of_these_lengths_make_a_track_that_is_exact_and_nowhere_doubled(cues, rate, length, data):
    slots = slots_of(cues, rate, length)
    sizes = [fit(data.draw(st.integers(0, 4 * rate)), slot, 1.15).placed for slot in slots]
    clips = [
        Clip(slot.start, np.ones(size, np.float32)) for slot, size in zip(slots, sizes, strict=True) if size
    ]
    track = np.concatenate([*track_blocks(clips, length)])
    assert len(track) == length
    assert track.max() <= 1
    assert int(track.sum()) == sum(sizes)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), bounds)
def test_the_gentlest_remedy_that_is_enough(duration, own, gap, most):
    slot = Slot(0, own, own + gap)
    kind = fit(duration, slot, most).kind
    if duration <= own:
        assert kind == "fits"
    elif duration <= floor(own * most):
        assert kind == "stretched"
    elif ceil(duration / most) <= own + gap:
        assert kind == "runs_over"
    else:
        assert kind == ("cut" if own + gap else "no_room")


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (1000, Fit("fits", 1.0, 1000, 1000)),
        (1001, Fit("stretched", 1.001, 1000, 1000)),
        (1250, Fit("stretched", 1.25, 1000, 1000)),
        (1251, Fit("runs_over", 1.25, 1001, 1001)),
        (1500, Fit("runs_over", 1.25, 1200, 1200)),
        (1501, Fit("cut", 1.25, 1201, 1200)),
        (2500, Fit("cut", 1.25, 2000, 1200)),
    ],
)
def test_a_slot_of_1000_with_a_gap_of_200_and_a_bound_of_a_quarter(duration, expected):
    assert fit(duration, Slot(7, 1000, 1200), 1.25) == expected


def test_without_stretching_and_without_room():
    assert fit(1001, Slot(0, 1000, 1001), 1.0) == Fit("runs_over", 1.0, 1001, 1001)
    assert fit(1002, Slot(0, 1000, 1001), 1.0) == Fit("cut", 1.0, 1002, 1001)
    assert fit(100, Slot(0, 0, 0), 1.25) == Fit("no_room", 1.0, 0, 0)
    with pytest.raises(ValueError, match="at least 1"):
        fit(1, Slot(0, 1, 1), 0.9)


def test_slots_of_cues_that_touch_overlap_coincide_and_leave():
    cues = [
        Cue(1.0, 2.0, "touches the next"),
        Cue(2.0, 4.0, "reaches into the next"),
        Cue(3.0, 3.5, "begins with the next"),
        Cue(3.0, 3.6, "has a gap behind it"),
        Cue(8.0, 11.0, "reaches beyond the end"),
        Cue(12.0, 13.0, "is beyond the end"),
    ]
    assert slots_of(cues, 10, 100) == [
        Slot(10, 10, 10),
        Slot(20, 10, 10),
        Slot(30, 0, 0),
        Slot(30, 6, 50),
        Slot(80, 20, 20),
        Slot(100, 0, 0),
    ]


def test_with_crosstalk_only_a_speaker_s_own_cues_and_gaps_bound_a_slot():
    cues = [
        Cue(1.0, 4.0, "goes on below the next", "ANNA"),
        Cue(2.0, 3.0, "has all its time, and no gap", "BEN"),
        Cue(3.0, 6.0, "ends at his next", "BEN"),
        Cue(5.0, 7.0, "begins together with the next", "BEN"),
        Cue(5.0, 5.5, "has a gap behind it", "ANNA"),
        Cue(9.0, 9.5, "the last", "BEN"),
    ]
    assert slots_of(cues, 10, 100, crosstalk=True) == [
        Slot(10, 30, 30),  # at its end BEN still speaks
        Slot(20, 10, 10),
        Slot(30, 20, 20),
        Slot(50, 20, 40),
        Slot(50, 5, 5),
        Slot(90, 5, 10),
    ]


@given(cues, rates, st.integers(1, 30 * 48_000), st.data())
def test_with_crosstalk_no_speaker_talks_over_himself_nor_another_s_whole_cue_is_lost(
    cues, rate, length, data
):
    cast = [replace(cue, speaker=data.draw(st.sampled_from(["ANNA", "BEN", None]))) for cue in cues]
    alone, beside = slots_of(cast, rate, length), slots_of(cast, rate, length, crosstalk=True)
    for one, two in zip(alone, beside, strict=True):
        assert (one.start, one.length <= two.length) == (two.start, True)
    for speaker in ("ANNA", "BEN", None):
        own = [slot for cue, slot in zip(cast, beside, strict=True) if cue.speaker == speaker]
        assert all(one.start + one.room <= two.start for one, two in pairwise(own))
    for cue, slot in zip(cast, beside, strict=True):
        own = slot.start + slot.length
        for other, its in zip(cast, beside, strict=True):
            if other.speaker != cue.speaker and slot.room > slot.length:
                # beyond its own time it runs into nobody's
                behind = min(sample_at(other.end_s, rate), length)
                assert its.start >= slot.start + slot.room or behind <= own


def take(name, seconds, *, passed=True, error=0.1, similarity=0.8):
    return Take(name, 0.0, seconds, passed, error, similarity)


@pytest.mark.parametrize(
    ("takes", "best"),
    [
        ([take("a", 1.2, error=0.0), take("b", 0.9, error=0.5)], "b"),  # fit before error rate
        ([take("a", 0.9, error=0.5), take("b", 0.9, error=0.2)], "b"),  # then error rate
        ([take("a", 0.9, similarity=0.5), take("b", 1.0, similarity=0.9)], "b"),  # then similarity
        ([take("a", 0.9), take("b", 0.8)], "a"),  # then the earlier
        ([take("a", 0.5, passed=False, error=0.0), take("b", 1.4, error=0.3)], "b"),  # gates before all
        ([take("a", 0.5, passed=False), take("b", 0.6, passed=False, error=0.0)], "b"),
        ([take("a", 9.0), take("b", 8.0, error=0.9)], "b"),  # less is cut off
        ([take("a", 0.9, error=None), take("b", 0.9, error=0.9)], "b"),  # not measured: last
    ],
)
def test_which_take_is_chosen(takes, best):
    slot = Slot(0, RATE, int(1.1 * RATE))
    chosen = choose(takes, slot, RATE, 1.15)
    assert chosen is not None
    assert chosen[0].utterance_id == best
    assert choose([], slot, RATE, 1.15) is None


def test_who_is_spoken_again_and_within_what():
    slot = Slot(0, 2 * RATE, 4 * RATE)

    def limit(seconds, passed=True):
        its = take("a", seconds, passed=passed)
        return limit_s(its, fit(int(seconds * RATE), slot, 1.15), slot, RATE, 1.15)

    assert limit(1.9) is None
    assert limit(2.1) == pytest.approx(2.3)
    assert limit(3.5) == pytest.approx(2.3)
    assert limit(4.7) is None  # more than twice the limit
    spoken = Take("a", 0.25, 2.35, True, silence_s=0.4)  # as much silence is left to another
    its = fit(round(2.1 * RATE), slot, 1.15)
    assert limit_s(spoken, its, slot, RATE, 1.15) == pytest.approx(2.7)
