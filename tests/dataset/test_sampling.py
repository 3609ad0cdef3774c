"""One sequence of rows: the same for the same plan, and more hours are a longer beginning of it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_sets import some_texts, some_voices

from pipeline.dataset.hours import Limits
from pipeline.dataset.inputs import Text, Voice
from pipeline.dataset.plan import DatasetPlan, Style
from pipeline.dataset.sampling import Sampler, turns
from pipeline.engine.frame_budget import estimate_duration_s

PLAN = DatasetPlan(hours=1.0, styles={"calm": Style(0.7), "busy": Style(0.3, scene="A market.")}, seed=3)
TEXTS, VOICES = some_texts(60), some_voices("Anna", "Ben", "Cleo", "Dora")


def sampler(seed: int = 3) -> Sampler:
    return Sampler(replace(PLAN, seed=seed), TEXTS, VOICES)


def ids(limits: Limits, taken: dict[str, int] | None = None) -> list[str]:
    return [draw.utterance_id for draw in sampler().draw(limits, taken)]


@given(st.floats(0, 400), st.floats(0, 400))
def test_more_hours_are_a_longer_beginning(a: float, b: float) -> None:
    short, long = ids(Limits(min(a, b))), ids(Limits(max(a, b)))
    assert long[: len(short)] == short
    drawn = sampler().draw(Limits(min(a, b)))
    # and a manifest that has the first rows already gets just the others
    taken = Counter(draw.voice.speaker for draw in drawn)
    assert ids(Limits(max(a, b)), dict(taken)) == long[len(short) :]


@given(st.dictionaries(st.sampled_from(["Anna", "Ben", "Cleo", "Dora"]), st.floats(0, 120)))
def test_each_voice_has_a_limit_of_its_own(limits: dict[str, float]) -> None:
    found = sampler().draw(Limits(speakers=limits))
    for speaker, limit in limits.items():
        own = [draw for draw in found if draw.voice.speaker == speaker]
        spoken = sum(draw.seconds for draw in own)
        # just as many rows as it takes to reach it, or all texts
        assert spoken >= limit or len(own) == len(TEXTS)
        assert all(draw.start_s < limit for draw in own)
    taken = Counter(draw.voice.speaker for draw in found)
    assert sampler().draw(Limits(speakers=limits), taken) == []


def test_hours_stay_level_and_no_voice_says_a_text_twice() -> None:
    found = sampler().draw(Limits(150.0))
    spoken = Counter()
    for draw in found:
        spoken[draw.voice.speaker] += draw.seconds
        assert draw.seconds == estimate_duration_s(draw.text.text, "en")
    longest = max(draw.seconds for draw in found)
    assert sum(spoken.values()) >= 150.0 > sum(spoken.values()) - longest
    assert max(spoken.values()) - min(spoken.values()) <= longest
    assert set(Counter((draw.voice.speaker, draw.text.key) for draw in found).values()) == {1}
    assert set(Counter(draw.utterance_id for draw in found).values()) == {1}
    assert all(re.fullmatch(r"[A-Za-z0-9-]{1,128}", draw.utterance_id) for draw in found)


def test_a_text_is_repeated_as_late_as_possible() -> None:
    found = sampler().draw(Limits())
    assert len(found) == len(TEXTS) * len(VOICES)
    assert max(Counter(draw.text.key for draw in found[: len(TEXTS) * 9 // 10]).values()) <= 2
    assert len({draw.text.key for draw in found[:40]}) == 40


def test_the_seed_and_nothing_else_changes_the_draw() -> None:
    assert sampler(3).draw(Limits(90.0)) == sampler(3).draw(Limits(90.0))
    assert sampler(4).draw(Limits(90.0)) != sampler(3).draw(Limits(90.0))
    shuffled = Sampler(PLAN, TEXTS[::-1], VOICES[::-1])
    assert shuffled.draw(Limits(90.0)) == sampler().draw(Limits(90.0))


def test_styles_take_turns_by_their_shares() -> None:
    # four fifths and one: after 1, 2, 3 rows calm is 0.8, 0.6, 0.4 below its share, busy 0.2, 0.4, 0.6
    assert "".join(islice(turns({"c": 0.8, "b": 0.2}), 10)) == "ccbccccbcc"
    assert "".join(islice(turns({"a": 1, "b": 1, "c": 2}), 8)) == "cabccabc"


@given(st.lists(st.integers(1, 100), min_size=1, max_size=5), st.integers(0, 200), st.integers(1, 100))
def test_any_rows_in_a_row_have_their_shares(weights: list[int], first: int, count: int) -> None:
    shares = {f"style {i}": float(weight) for i, weight in enumerate(weights)}
    said = Counter(islice(turns(shares), first, first + count))
    for name, share in shares.items():
        assert abs(said[name] - count * share / sum(weights)) < 2


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_few_rows_of_many_voices_have_the_shares_of_the_styles(rows: int) -> None:
    """Each voice begins at another turn: else all of their first rows were of one style."""
    made = Sampler(PLAN, TEXTS, some_voices(*(f"voice {i}" for i in range(10))))
    each = [
        [draw for draw in made.draw(Limits()) if draw.voice.speaker == speaker] for speaker in made.speakers
    ]
    assert sum(draw.style == "calm" for own in each for draw in own[:rows]) == 7 * rows


def test_a_set_with_styles_of_an_older_version_goes_on() -> None:
    """What is taken is counted, whatever its styles are: the rows that follow are those of a new set."""
    taken = {"Anna": 3, "Ben": 5}
    whole = sampler().draw(Limits())
    left = {speaker: [d for d in whole if d.voice.speaker == speaker] for speaker in ("Anna", "Ben")}
    more = sampler().draw(Limits(), taken)
    for speaker, count in taken.items():
        assert [draw for draw in more if draw.voice.speaker == speaker] == left[speaker][count:]


def test_voices_speak_their_languages_alone() -> None:
    texts = (*some_texts(6), *(Text(f"Satz {i}.", "de", f"de:satz {i}") for i in range(6)))
    voices = (
        *some_voices("Anna"),
        *some_voices("Jan", language="de-AT"),
        *some_voices("Mia", language=None),
        *some_voices("Luc", language="fr"),
        Voice("Two", "/voices/two-en.flac", language="en"),
        Voice("Two", "/voices/two-de.flac", language="de"),
    )
    made = Sampler(DatasetPlan(hours=1.0), texts, voices)
    said = {speaker: Counter() for speaker in made.speakers}
    for draw in made.draw(Limits()):
        said[draw.voice.speaker][draw.text.language] += 1
        assert draw.voice.speaks(draw.text.language)
    both = {"en": 6, "de": 6}
    assert said == {"Anna": {"en": 6}, "Jan": {"de": 6}, "Mia": both, "Two": both}
    assert made.silent == ["Luc"]


def test_names_of_speakers_become_names_of_files() -> None:
    voices = some_voices("Ünal/../x", "...", "a" * 300)
    made = Sampler(DatasetPlan(hours=1.0), TEXTS[:1], voices)
    assert {draw.utterance_id.rsplit("-", 1)[0] for draw in made.draw(Limits())} == {
        "nal-x",
        "voice",
        "a" * 40,
    }
