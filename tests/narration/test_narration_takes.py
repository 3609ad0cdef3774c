"""Which take is heard, where it is put, and which rows a round asks for: small cases, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, RunConflictError
from pipeline.narration.cues import cues_of
from pipeline.narration.options import NarrationOptions
from pipeline.narration.placing import (
    chapter_bounds,
    chapter_marks,
    parted_at,
    place,
    sample_rate_of,
)
from pipeline.narration.rounds import (
    MARK,
    ManifestRow,
    Narration,
    Round,
    add_round,
    going_on,
    keep,
    kept,
    never_asked,
    once_more,
    open_folder,
    read_rounds,
)
from pipeline.narration.script import Script, Segment
from pipeline.narration.takes import Take, choose
from pipeline.programme.encode import ChapterMark
from pipeline.programme.references import Reference
from pipeline.programme.subtitles import Cue

RATE = 1000


def row(name: str, text: str) -> ManifestRow:
    return {"id": name, "text": text, "ref": "../voices/a.wav", "language": "en"}


def segment(name: str, text: str, chapter: int = 1, pause_s: float = 0.5, voice: str = "default") -> Segment:
    return Segment(name, chapter, text, text, voice, pause_s)


def take(round: int, name: str, status: str = "ok", **values: object) -> Take:
    sound = {"num_samples": 1000, "sample_rate": RATE, "leading_silence_s": None, "trailing_silence_s": None}
    fault = {"gate_reasons": None, "error_code": "e", "error_message": "m"}
    return Take(round, {"utterance_id": name, "status": status, **sound, **fault, **values})


def chosen(
    segments: list[tuple[str, str]], takes: list[tuple[str, Take]]
) -> list[tuple[int, str] | str | None]:
    """takes: what was asked for, and the take of it."""
    heard = choose(
        [segment(*each) for each in segments],
        [row(*each) for each in segments],
        [(row(each.id, text), each) for text, each in takes],
    )
    return [(each.take.round, each.take.id) if each.take else each.why for each in heard]


def test_the_latest_usable_take_is_heard() -> None:
    assert chosen(
        [("a", "Yes.")], [("Yes.", take(0, "a")), ("Yes.", take(2, "a")), ("Yes.", take(1, "a"))]
    ) == [(2, "a")]
    assert chosen([("a", "Yes.")], [("Yes.", take(0, "a")), ("Yes.", take(1, "a", "failed"))]) == [(0, "a")]
    empty = take(1, "a", num_samples=0)
    assert chosen([("a", "Yes.")], [("Yes.", empty)]) == ["failed: its sound is empty"]


def test_equal_texts_keep_their_own_takes() -> None:
    takes = [("Yes.", take(0, "a")), ("Yes.", take(0, "b")), ("Yes.", take(1, "a"))]
    assert chosen([("a", "Yes."), ("b", "Yes.")], takes) == [(1, "a"), (0, "b")]
    # ids have moved: what says the same is heard
    assert chosen([("c", "Yes."), ("a", "No.")], takes) == [(1, "a"), "not spoken yet"]


def test_why_there_is_none() -> None:
    takes = [
        ("A.", take(0, "a", "failed", num_samples=None)),
        ("B.", take(0, "b", "rejected", gate_reasons=["wer: 0.5", "must_end: cut off"])),
    ]
    assert chosen([("a", "A."), ("b", "B."), ("c", "C.")], takes) == [
        "failed: e: m",
        "rejected: wer: 0.5; must_end: cut off",
        "not spoken yet",
    ]


def test_placed_to_the_sample() -> None:
    segments = [
        segment("a", "A."),
        segment("b", "B.", pause_s=0.2),
        segment("c", "C.", chapter=2, voice="BEN"),
    ]
    takes = [
        (row("a", "A."), take(0, "a", leading_silence_s=0.25, trailing_silence_s=0.15)),
        (row("c", "C."), take(0, "c", leading_silence_s=1.0, trailing_silence_s=1.0)),  # nothing but silence
    ]
    heard = choose(segments, [row("a", "A."), row("b", "B."), row("c", "C.")], takes)
    placed = place(heard, RATE, gap_s=0.75)
    # a: 1000 samples less 200 and 100 of silence (50 ms stay); b: a gap
    assert [(p.start, p.begin, p.end, p.pause, p.behind) for p in placed] == [
        (0, 200, 900, 500, 1200),
        (1200, 0, 750, 200, 2150),
        (2150, 0, 1000, 500, 3650),
    ]
    assert chapter_bounds(placed) == {1: (0, 2150), 2: (2150, 3650)}
    script = Script("T", None, "en", ("One", "Two"), tuple(segments))
    assert chapter_marks(placed, script, RATE) == [
        ChapterMark(0.0, 2.15, "One"),
        ChapterMark(2.15, 3.65, "Two"),
    ]
    assert cues_of(placed, RATE, "en") == [Cue(0.0, 0.7, "A."), Cue(2.15, 3.15, "C.", "BEN")]


def test_one_voice_is_not_named_in_subtitles() -> None:
    heard = choose([segment("a", "A.")], [row("a", "A.")], [(row("a", "A."), take(0, "a"))])
    assert cues_of(place(heard, RATE, 1.0), RATE, "en") == [Cue(0.0, 1.0, "A.", None)]


def test_takes_of_several_rates_are_refused() -> None:
    segments = [segment("a", "A."), segment("b", "B.")]
    rows = [row("a", "A."), row("b", "B.")]
    heard = choose(segments, rows, [(rows[0], take(0, "a")), (rows[1], take(1, "b", sample_rate=8000))])
    assert sample_rate_of(heard[:1]) == RATE
    assert sample_rate_of(choose(segments, rows, [])) is None
    with pytest.raises(ConfigError, match=r"\[1000, 8000\] Hz"):
        sample_rate_of(heard)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=12),
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
)
def test_a_track_is_parted_at_its_ends(sizes: list[int], lengths: list[int]) -> None:
    track = np.arange(sum(sizes), dtype=np.float32)
    blocks = np.split(track, np.cumsum(sizes)[:-1])
    ends = list(np.cumsum(lengths))
    parts: list[list[float]] = [[] for _ in lengths]
    for part, block in parted_at(iter(blocks), ends):
        parts[part] += block.tolist()
    expected = np.split(track, ends[:-1])
    assert parts == [each.tolist() for each in expected]


def narration(folder: Path) -> Narration:
    segments = (segment("ch01-0001", "A."), segment("ch01-0002", "B."))
    script = Script("T", "Writer", "en", ("One",), segments)
    return Narration(
        open_folder(str(folder)), script, NarrationOptions(), {"default": Reference("voices/a.wav", "Hello.")}
    )


def test_rounds_ask_for_what_none_before_them_holds(tmp_path: Path) -> None:
    made = narration(tmp_path)
    rows = made.rows
    assert never_asked(rows, []) == rows
    assert add_round(made, rows[:1]) == 0
    assert never_asked(rows, read_rounds(made.store)) == rows[1:]
    assert add_round(made, rows[1:]) == 1
    assert read_rounds(made.store) == [Round(0, tuple(rows[:1])), Round(1, tuple(rows[1:]))]
    moved = [{**rows[0], "id": "ch09-0009"}]
    assert never_asked(moved, read_rounds(made.store)) == []
    for other in ({"ref": "../voices/b.wav"}, {"ref_text": "Other."}, {"language": "de"}, {"text": "C."}):
        assert never_asked([{**rows[0], **other}], read_rounds(made.store)) != []


def test_eleven_rounds_come_in_their_order(tmp_path: Path) -> None:
    made = narration(tmp_path)
    for number in range(11):
        add_round(made, [row("a", f"{number}.")])
    assert [each.number for each in read_rounds(made.store)] == list(range(11))


def test_with_a_context_neighbours_of_a_round_go_on_from_each_other(tmp_path: Path) -> None:
    script = Script(
        "T",
        None,
        "en",
        ("One", "Two"),
        (
            segment("ch01-0001", "A."),
            replace(segment("ch01-0002", "B."), voice="BEN"),
            segment("ch01-0003", "C."),
            replace(segment("ch02-0001", "D."), chapter=2),
            replace(segment("ch02-0002", "E."), chapter=2),
        ),
    )
    references = {name: Reference(f"voices/{name}.wav", "Hello.") for name in ("default", "BEN")}
    store = open_folder(str(tmp_path))
    made = Narration(store, script, NarrationOptions(context=2), references)
    for context, rows in ((2, made.rows), (2, [made.rows[2], made.rows[3]]), (0, made.rows)):
        asked = replace(made, options=NarrationOptions(context=context))
        add_round(asked, going_on(asked, rows))
    links = [[each.get("follows") for each in past.rows] for past in read_rounds(store)]
    # Ben's line between does not part the narrator's; a chapter begins anew, and so does what is mended alone
    assert links == [[None, None, "ch01-0001", None, "ch02-0001"], [None, None], [None] * 5]
    assert never_asked(made.rows, read_rounds(store)) == []


def test_seeds_go_on_behind_those_that_were_used(tmp_path: Path) -> None:
    made = narration(tmp_path)
    rounds = [Round(0, tuple(made.rows))]
    seen = set()
    for number in range(1, 4):
        [again] = once_more(made, ["ch01-0002"], rounds, base_seed=7, max_takes=3)
        assert {**again, "seed": None} == {**made.rows[1], "seed": None}
        seen.add(again["seed"])
        rounds.append(Round(number, (again,)))
    assert len(seen) == 3
    assert once_more(made, ["ch01-0002"], rounds[:1], 7, 3) == once_more(
        made, ["ch01-0002"], rounds[:1], 7, 3
    )


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    made = narration(tmp_path)
    keep(made, "book.txt")
    assert kept(str(tmp_path)) == made
    (tmp_path / MARK).unlink()
    with pytest.raises(RunConflictError, match="holds no narration"):
        kept(str(tmp_path))
