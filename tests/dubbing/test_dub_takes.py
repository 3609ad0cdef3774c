"""Ids by what must keep and what must change them; takes of results written and read as a run's."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from pipeline.audio import Waveform
from pipeline.commit import ShardLog
from pipeline.dubbing.assemble import as_placed
from pipeline.dubbing.fit import Slot, Take, fit
from pipeline.dubbing.takes import (
    Reference,
    is_speakable,
    lines_of,
    manifest_bytes,
    read_sound,
    read_takes,
    take_ids,
)
from pipeline.manifest import read_manifest
from pipeline.programme.subtitles import Cue
from pipeline.records import to_table
from pipeline.results import result_schema
from pipeline.storage import open_store

ANNA, BEN = Reference("voices/aa.flac", "Said.", "2026-017"), Reference("voices/bb.flac", None)
CUES = [
    (Cue(0, 1, "Yes.", "ANNA"), ANNA),
    (Cue(2, 3, "Yes.", "ANNA"), ANNA),
    (Cue(3, 4, "Yes.", "BEN"), BEN),
    (Cue(4, 5, "Of\ncourse.", "BEN"), BEN),
]


def contents(cues):
    return [line.content for line in lines_of(cues)]


def test_a_line_is_named_by_what_is_said_by_whom():
    first = contents(CUES)
    assert len(set(first)) == 4  # equal lines are told apart
    moved = [(replace(cue, start_s=cue.start_s + 9, end_s=cue.end_s + 10), ref) for cue, ref in CUES]
    assert contents([(Cue(0, 1, "New.", "BEN"), BEN), *moved])[1:] == first
    assert contents([CUES[0], (replace(CUES[3][0], text="Of course."), BEN)])[1] == first[3]
    for other in (
        (Cue(0, 1, "Yes!", "ANNA"), ANNA),
        (Cue(0, 1, "Yes.", "ANNA"), replace(ANNA, text="Other.")),
        (Cue(0, 1, "Yes.", "ANNA"), BEN),
        (Cue(0, 1, "Yes.", "DORA"), ANNA),
    ):
        assert contents([other])[0] not in first


@pytest.mark.parametrize(
    ("text", "speakable"),
    [
        ("[door slams]", False),
        ("(door slams)\n(glass breaks)", False),
        ("♪ [music] ♪", False),
        ("[sighs] Well.", True),
        ("Well (sighs)", True),
        ("1984", True),
    ],
)
def test_what_is_spoken(text, speakable):
    assert is_speakable(text) == speakable


def test_more_takes_keep_the_first_and_another_limit_is_another_take():
    assert take_ids("ab", 3, None)[:2] == take_ids("ab", 2, None)
    limits = [None, 1.0, 1.1]
    assert len({name for limit in limits for name in take_ids("ab", 2, limit)}) == 6


def test_the_manifest_is_one_that_runs_read():
    lines = lines_of(CUES)
    data = manifest_bytes([(lines[0], None), (lines[3], 900.5)], 2, "../")
    rows = [*read_manifest(io.BytesIO(data), "1.jsonl")]
    assert [row.faults for row in rows] == [[]] * 4
    assert rows[0].values == {
        "id": take_ids(lines[0].content, 2, None)[0],
        "ref": "../voices/aa.flac",
        "ref_text": "Said.",
        "text": "Yes.",
        "speaker": "ANNA",
        "consent_id": "2026-017",
    }
    assert rows[3].values["max_duration_s"] == 600.0  # the manifest's most
    assert "ref_text" not in rows[3].values


@pytest.fixture
def run(tmp_path):
    good = {
        "status": "ok",
        "gate": "passed",
        "language": "en",
        "duration_s": 2.0,
        "leading_silence_s": 0.3,
        "trailing_silence_s": 0.02,
        "wer": 0.25,
        "cer": 0.1,
        "similarity": 0.7,
        "audio": {"bytes": b"sound", "path": None},
    }
    rows = [
        good | {"utterance_id": "good"},
        good | {"utterance_id": "chinese", "language": "zh"},
        good | {"utterance_id": "noise", "leading_silence_s": 2.0, "trailing_silence_s": 2.0},
        good
        | {
            "utterance_id": "warned",
            "gate": "warned",
            "gate_reasons": ["wer: 0.25 is over 0.2"],
            "wer": float("nan"),
        },
        good
        | {
            "utterance_id": "rejected",
            "status": "rejected",
            "gate_reasons": ["wer: 1 is over 0.2"],
            "audio": None,
        },
        {
            "utterance_id": "failed",
            "status": "failed",
            "error_code": "prompt_too_long",
            "error_message": "long",
        },
    ]
    log = ShardLog(open_store(str(tmp_path / "run")))
    log.write_shard("00000", to_table(rows, result_schema()), "test", {"failed": 1})
    return str(tmp_path / "run")


def test_takes_of_a_run(run):
    takes, faults = read_takes(run)
    assert faults == {"rejected": "wer: 1 is over 0.2", "failed": "prompt_too_long: long"}
    # 50 ms of the silence are kept, where there is as much
    assert takes["good"] == Take("good", 0.25, 2.0, True, 0.25, 0.7, silence_s=0.25)
    assert takes["chinese"].error_rate == 0.1
    assert (takes["noise"].start_s, takes["noise"].end_s) == (0.0, 2.0)
    assert (takes["warned"].passed, takes["warned"].reasons) == (False, ("wer: 0.25 is over 0.2",))
    assert takes["warned"].error_rate is None
    assert dict(read_sound(run, {"good": 1, "rejected": 1, "failed": 1})) == {"good": b"sound"}


@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000])
@pytest.mark.parametrize(
    ("seconds", "kind"), [(0.9, "fits"), (1.1, "stretched"), (1.5, "runs_over"), (2.0, "cut")]
)
def test_a_take_as_it_lies_on_the_track(rate, seconds, kind):
    """Its silence gone, its tone at its pitch, its length the fit's, no click at its ends."""
    silence = np.zeros(12_000, np.float32)
    tone = (0.3 * np.sin(2 * np.pi * 400 * np.arange(round(seconds * 24_000)) / 24_000)).astype(np.float32)
    sound = Waveform(np.concatenate([silence, tone, silence]), 24_000)
    take = Take("a", 0.5, 0.5 + seconds, True)
    its = fit(round(seconds * rate), Slot(0, rate, round(1.4 * rate)), 1.15)
    assert its.kind == kind
    made = as_placed(sound, take, its, rate)
    assert len(made) == its.placed
    middle = made[rate // 10 : -rate // 10]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8 * len(middle)))
    assert np.argmax(spectrum) * rate / (8 * len(middle)) == pytest.approx(400, rel=0.01)
    assert abs(made[0]) < 0.01
    assert abs(made[-1]) < 0.01
    assert np.abs(made[: rate // 20]).max() > 0.2
