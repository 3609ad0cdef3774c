"""The narration job, its runs made by hand instead of by Ray: what is spoken, put together, and left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pyloudnorm
import pysubs2
import pytest
import soundfile
import webvtt
from made_runs_of_books import (
    BOOK,
    OPTIONS,
    RATE,
    SILENCE_S,
    Speaker,
    length_s,
    manifest,
    narrate,
    pitch_of,
    redo,
)
from rich.console import Console

from jobs import narration as job
from pipeline.config import RunConfig
from pipeline.errors import ConfigError, RunConflictError
from pipeline.metrics.takes import take_seed
from pipeline.narration.options import NarrationOptions, Pauses
from pipeline.narration.report import print_narration
from pipeline.narration.voices import one_voice
from pipeline.programme.media import cut
from pipeline.stages.check_request import derive_seed


def pitches(path: Path, report: dict[str, Any]) -> list[float]:
    """Of every segment, where the report says it lies."""
    found = []
    for each in report["segments"]:
        samples = cut(str(path), each["start_s"] + 0.1, each["end_s"] - 0.1)
        spectrum = np.abs(np.fft.rfft(samples.samples * np.hanning(len(samples.samples)), 2**17))
        found.append(float(np.argmax(spectrum)) * samples.sample_rate / 2**17)
    return found


def test_a_book(tmp_path: Path, speaker: Speaker) -> None:
    report = narrate(tmp_path)
    texts = ["The Harbor", "Dawn", "The ferry left.", "Nobody watched it go,", "I think.", "It was cold.", "Dusk",
             "Lights came on."]  # fmt: skip
    assert [each["written"] for each in report["segments"]] == texts
    assert [each["id"] for each in report["segments"]][-2:] == ["ch02-0001", "ch02-0002"]
    pauses, at = Pauses(), 0.0
    behind = [pauses.heading, pauses.heading, pauses.sentence, pauses.clause, pauses.paragraph, pauses.chapter,
              pauses.heading, pauses.chapter]  # fmt: skip
    for each, text, pause_s in zip(report["segments"], texts, behind, strict=True):
        assert each["start_s"] == pytest.approx(at, abs=0.001)
        assert each["end_s"] - each["start_s"] == pytest.approx(length_s(text) + 0.1, abs=0.001)
        at = each["end_s"] + pause_s
    assert report["length_s"] == pytest.approx(at, abs=0.001)
    out = tmp_path / "out"
    for name in ("the-harbor.flac", "the-harbor.m4b"):
        expected = [pitch_of(text, 0) for text in texts]
        assert pitches(out / name, report) == pytest.approx(expected, abs=2)


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def test_what_is_handed_on(tmp_path: Path, speaker: Speaker) -> None:
    report, out = narrate(tmp_path), tmp_path / "out"
    assert report["files"] == [
        "the-harbor.flac", "the-harbor.m4b", "chapters/01-dawn.flac", "chapters/02-dusk.flac",
        "the-harbor.srt", "the-harbor.vtt",
    ]  # fmt: skip
    samples, rate = soundfile.read(out / "the-harbor.flac")
    assert len(samples) == round(report["length_s"] * rate)
    assert pyloudnorm.Meter(rate).integrated_loudness(samples) == pytest.approx(-19, abs=0.5)
    parts = [soundfile.read(out / name)[0] for name in report["files"][2:4]]
    np.testing.assert_array_equal(np.concatenate(parts), samples)
    with av.open(str(out / "the-harbor.m4b")) as container:
        found = [(float(c["start"] * c["time_base"]), c["metadata"]["title"]) for c in container.chapters()]
    assert [title for _, title in found] == ["Dawn", "Dusk"]
    assert [start for start, _ in found] == pytest.approx(
        [c["start_s"] for c in report["chapters"]], abs=0.05
    )
    # the chapter's first sound lies where its mark says
    sound = cut(str(out / "the-harbor.m4b"), found[1][0] - 0.5, found[1][0] + 0.5)
    assert np.flatnonzero(np.abs(sound.samples) > 0.02)[0] / sound.sample_rate == pytest.approx(
        0.55, abs=0.05
    )
    wanted = [(each["start_s"], each["end_s"], each["written"]) for each in report["segments"]]
    srt = [(cue.start / 1000, cue.end / 1000, cue.text) for cue in pysubs2.load(str(out / "the-harbor.srt"))]
    vtt = [
        (_seconds(cue.start), _seconds(cue.end), cue.text) for cue in webvtt.read(str(out / "the-harbor.vtt"))
    ]
    for (start, end, text), line, caption in zip(wanted, srt, vtt, strict=True):
        assert line[:2] == pytest.approx((start, end), abs=0.05)
        assert caption[:2] == pytest.approx((start, end), abs=0.05)
        assert line[2] == caption[2] == text


def test_a_long_segment_has_several_cues(tmp_path: Path, speaker: Speaker) -> None:
    told = "The ferry left the harbor early, and nobody watched it go, not even the old man who sells the tickets."
    options = NarrationOptions(max_segment_s=20, formats=("m4b",))
    report = narrate(tmp_path, f"# Dawn\n\n{told}\n", options)
    segment = report["segments"][-1]
    assert segment["written"] == told
    cues = pysubs2.load(str(tmp_path / "out" / next(n for n in report["files"] if n.endswith(".srt"))))[1:]
    assert [cue.plaintext for cue in cues] == [
        "The ferry left the harbor early,\nand nobody watched it go,",
        "not even the old man\nwho sells the tickets.",
    ]
    assert cues[0].start == pytest.approx(1000 * segment["start_s"], abs=1)
    assert cues[-1].end == pytest.approx(1000 * segment["end_s"], abs=1)


def test_the_same_again_does_nothing(tmp_path: Path, speaker: Speaker) -> None:
    report = narrate(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert narrate(tmp_path) == report
    assert len(speaker.spoken) == 1
    made = [
        path
        for path in times
        if path.suffix in (".flac", ".m4b", ".srt", ".jsonl") or path.name == "report.json"
    ]
    assert all(path.stat().st_mtime_ns == times[path] for path in made)


def test_another_book_does_not_replace_one_that_is_done(tmp_path: Path, speaker: Speaker) -> None:
    narrate(tmp_path)
    before = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    with pytest.raises(
        RunConflictError, match=r"is the narration of .*book\.md; name another --out for .*b2"
    ):
        narrate(tmp_path, "Another one.", name="b2.md")
    assert sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file()) == before


def test_other_options_put_together_anew_and_speak_nothing(tmp_path: Path, speaker: Speaker) -> None:
    narrate(tmp_path)
    report = narrate(tmp_path, options=NarrationOptions(max_segment_s=2, formats=("wav",), lufs=-23))
    assert len(speaker.spoken) == 1
    assert report["files"] == [
        "the-harbor.wav",
        "chapters/01-dawn.wav",
        "chapters/02-dusk.wav",
        "the-harbor.srt",
    ]
    kept = {path.name for path in (tmp_path / "out").rglob("*.*") if path.suffix in (".flac", ".m4b", ".vtt")}
    assert kept == set()
    samples, rate = soundfile.read(tmp_path / "out" / "the-harbor.wav")
    assert pyloudnorm.Meter(rate).integrated_loudness(samples) == pytest.approx(-23, abs=0.5)


def test_what_was_interrupted_goes_on(tmp_path: Path, speaker: Speaker) -> None:
    speaker.stops_after = 3
    with pytest.raises(KeyboardInterrupt):
        narrate(tmp_path)
    assert not (tmp_path / "out" / "report.json").exists()
    speaker.stops_after = None
    assert not narrate(tmp_path)["missing"]
    assert speaker.spoken[0] == speaker.spoken[1]  # one round, gone on with


def test_redo_changes_its_segments_only(tmp_path: Path, speaker: Speaker) -> None:
    before = narrate(tmp_path)
    after = redo(tmp_path, "ch01-0003", "ch02-0002")
    assert speaker.spoken[1] == ["ch01-0003", "ch02-0002"]
    seeds = {str(row["id"]): row["seed"] for row in manifest(str(tmp_path / "out/rounds/1.jsonl"))}
    assert seeds == {name: take_seed(derive_seed(0, name), 1) for name in seeds}
    for old, new in zip(before["segments"], after["segments"], strict=True):
        assert (new["round"] == 1) == (new["id"] in seeds)
        assert new["seed"] == seeds.get(new["id"], old["seed"])
    expected = [pitch_of(each["spoken"], each["seed"]) for each in after["segments"]]
    assert pitches(tmp_path / "out" / "the-harbor.m4b", after) == pytest.approx(expected, abs=2)
    again = redo(tmp_path, "ch01-0003")
    assert [each["round"] for each in again["segments"]] == [0, 0, 2, 0, 0, 0, 0, 1]
    assert manifest(str(tmp_path / "out/rounds/2.jsonl"))[0]["seed"] == take_seed(
        derive_seed(0, "ch01-0003"), 2
    )
    assert narrate(tmp_path) == again


def test_a_redo_that_was_interrupted_is_ended_not_begun_again(tmp_path: Path, speaker: Speaker) -> None:
    narrate(tmp_path)
    speaker.stops_after = 0
    with pytest.raises(KeyboardInterrupt):
        redo(tmp_path, "ch01-0003")
    speaker.stops_after = None
    report = redo(tmp_path, "ch01-0003")
    assert len(list((tmp_path / "out" / "rounds").iterdir())) == 2
    assert report["segments"][2]["round"] == 1


def test_a_redo_that_fails_leaves_what_was(tmp_path: Path, speaker: Speaker) -> None:
    narrate(tmp_path)
    speaker.failing = {"ch01-0003"}
    report = redo(tmp_path, "ch01-0003")
    assert (report["segments"][2]["round"], report["missing"]) == (0, [])


@pytest.mark.parametrize("kind", ["failing", "rejected"])
def test_a_missing_segment_is_a_gap_and_is_told(tmp_path: Path, speaker: Speaker, kind: str) -> None:
    setattr(speaker, kind, {"ch01-0006"})
    report = narrate(tmp_path)
    [missing] = report["missing"]
    assert (missing["id"], missing["written"]) == ("ch01-0006", "It was cold.")
    assert ("row_timeout" if kind == "failing" else "wer: 0.9") in missing["why"]
    gap = report["segments"][5]
    assert gap["end_s"] - gap["start_s"] == pytest.approx(OPTIONS.gap_s)
    sound = cut(str(tmp_path / "out" / "the-harbor.flac"), gap["start_s"], gap["end_s"])
    assert not sound.samples.any()
    assert "It was cold." not in (tmp_path / "out" / "the-harbor.srt").read_text()
    said = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    print_narration(said, report, "out")
    assert "ch01-0006" in (text := said.export_text())
    assert "voicemill redo out --missing" in text
    speaker.failing = speaker.rejected = set()
    after = redo(tmp_path, missing=True)
    assert speaker.spoken[-1] == ["ch01-0006"]
    assert after["missing"] == []


def test_stop_puts_nothing_together(tmp_path: Path, speaker: Speaker) -> None:
    options = NarrationOptions(max_segment_s=2, formats=("flac",), missing="stop")
    narrate(tmp_path, options=options)
    assert (tmp_path / "out" / "the-harbor.flac").exists()
    speaker.failing = {"ch02-0002"}
    report = narrate(tmp_path, BOOK.replace("Lights came on.", "Lights went out."), options)
    assert [each["id"] for each in report["missing"]] == ["ch02-0002"]
    assert (report["files"], report["length_s"]) == ([], None)
    assert not (tmp_path / "out" / "the-harbor.flac").exists()  # of the old text


def test_nothing_spoken_at_all(tmp_path: Path, speaker: Speaker) -> None:
    speaker.failing = {f"ch0{chapter}-000{i}" for chapter in (1, 2) for i in range(1, 9)}
    report = narrate(tmp_path)
    assert (len(report["missing"]), report["files"]) == (8, [])


def test_a_mended_text_is_spoken_where_it_differs(tmp_path: Path, speaker: Speaker) -> None:
    narrate(tmp_path)
    report = narrate(tmp_path, BOOK.replace("It was cold.", "A bell rang. It was very cold."))
    assert [[row["text"] for row in manifest(str(tmp_path / f"out/rounds/{i}.jsonl"))] for i in (1,)] == [
        ["A bell rang.", "It was very cold."]
    ]
    assert [each["round"] for each in report["segments"]] == [0, 0, 0, 0, 0, 1, 1, 0, 0]
    assert report["missing"] == []


def test_refusals(tmp_path: Path, speaker: Speaker) -> None:
    with pytest.raises(RunConflictError, match="holds no narration"):
        redo(tmp_path, "ch01-0001")
    narrate(tmp_path)
    with pytest.raises(ConfigError, match=r"ch1-0003: no such segment; did you mean ch01-0003\?"):
        redo(tmp_path, "ch1-0003")
    with pytest.raises(ConfigError, match="nothing to speak again"):
        redo(tmp_path)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_text("x")
    with pytest.raises(RunConflictError, match="holds file and no narration"):
        job.narrate(
            str(tmp_path / "book.md"), str(tmp_path / "theirs"), job.Cast(one_voice(str(tmp_path / "anna.wav"), None), ""),
            {}, OPTIONS, RunConfig(), Console(quiet=True),
        )  # fmt: skip


def test_silence_around_a_take_is_cut_to_what_pauses_ask_for(tmp_path: Path, speaker: Speaker) -> None:
    report = narrate(tmp_path)
    samples, rate = soundfile.read(tmp_path / "out" / "the-harbor.flac")
    loud = np.abs(samples) > 0.01
    first = report["segments"][0]
    assert np.flatnonzero(loud)[0] / rate == pytest.approx(0.05, abs=0.005)
    assert rate == RATE
    assert SILENCE_S > 0.05
    assert not loud[int(first["end_s"] * rate) : int(report["segments"][1]["start_s"] * rate)].any()
