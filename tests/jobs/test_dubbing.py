"""Two hundred cues with hard slots through the whole job; only the model is stood in for, by tones."""

from __future__ import annotations

import csv
import io
import json
from itertools import pairwise

import av
import numpy as np
import pysubs2
import pytest
import soundfile
from dub_here import CONSOLE, dub, write_original
from hard_cues import hard_cues, pitch, samples_of, speech_of, write_srt
from made_dubs import LEAD_S, PITCHES, TAIL_S, Speaker
from rich.console import Console
from typer.testing import CliRunner

import jobs.dubbing
from pipeline.commands.dub import dub as command
from pipeline.commands.dub import print_dub
from pipeline.config import load_config
from pipeline.dubbing.project import DubOptions
from pipeline.storage import open_store

MOST = 1.15


def test_two_hundred_cues_with_hard_slots(place, monkeypatch):
    cues, rate = hard_cues(), 22_050
    length = int(max(end for _, end, *_ in cues) * rate) + 12_345
    write_srt(place / "film.srt", cues)
    write_original(place / "film.wav", length, rate)
    speaker = Speaker(speech_of)
    report = dub(monkeypatch, speaker, place, original=str(place / "film.wav"))

    # every cue is in the report, and every kind of fit came up
    by_start = sorted(range(200), key=lambda place: cues[place][:2])
    assert [cue["cue"] for cue in report["cues"]] == [place + 1 for place in by_start]
    assert sum(report["counts"].values()) == 200
    assert all(report["counts"][fit] for fit in ("fits", "stretched", "runs_over", "cut", "silent"))
    assert report["counts"]["silent"] == sum(kind == "silent" for *_, kind in cues)
    assert {cue["text"] for cue in report["cues"] if cue["fit"] != "silent"} == {
        text.rpartition("] ")[2].rpartition(": ")[2] for _, _, text, kind in cues if kind != "silent"
    }

    # nothing overlaps, each on its time, each within its bound or said not to be
    placed = [cue for cue in report["cues"] if cue["placed_start_s"] is not None]
    for one, two in pairwise(placed):
        assert one["placed_end_s"] <= two["placed_start_s"] + 1e-9
    for cue in placed:
        assert cue["placed_start_s"] == pytest.approx(cue["start_s"], abs=0.5 / rate + 1e-9)
        assert 1 <= cue["stretch"] <= MOST
        assert cue["spoken_s"] == pytest.approx(
            cue["stretch"] * (cue["placed_end_s"] - cue["placed_start_s"] + cue["cut_s"]), abs=3 / rate
        )
        assert (cue["cut_s"] > 0) == (cue["fit"] == "cut")
        if cue["fit"] in ("fits", "stretched"):
            assert cue["placed_end_s"] <= cue["end_s"] + 1 / rate

    # the track: its length to the sample, silent but for the cues, each in its speaker's voice
    track = samples_of(place / "dub/track.flac", rate)
    assert len(track) == length == report["samples"]
    silent = np.ones(length, bool)
    for cue in placed:
        begin, end = (round(cue[name] * rate) for name in ("placed_start_s", "placed_end_s"))
        silent[begin:end] = False
        if end - begin > 0.25 * rate:
            heard = pitch(track[begin + rate // 15 : end - rate // 15], rate)
            assert heard == pytest.approx(PITCHES[cue["speaker"]], rel=0.01), cue
            assert (
                np.abs(track[begin : begin + round(0.08 * rate)]).max() > 1000
            )  # speech begins with the cue
    assert not track[silent].any()

    # stems: as long, and their sum is the track
    stems = [samples_of(place / "dub" / key, rate) for key in report["stems"].values()]
    assert len(stems) == 3
    np.testing.assert_array_equal(sum(stem.astype(np.int32) for stem in stems), track)

    # subtitles: all cues, with the times of the track
    back = pysubs2.SSAFile.load(str(place / "dub/subtitles.srt"))
    assert len(back) == 200 - report["counts"]["no_room"]
    real = {cue["text"]: (cue["placed_start_s"], cue["placed_end_s"]) for cue in placed if cue["clip"]}
    for event in back:
        if event.text in real:
            start, end = real[event.text]
            assert (event.start / 1000, event.end / 1000) == pytest.approx((start, end), abs=0.0006)

    # what was too long was asked for again, within a limit that stretching can meet, and only that
    first, second = speaker.spoken
    assert len(first) == 2 * (200 - report["counts"]["silent"])
    assert second
    assert all(speaker.rows[name]["max_duration_s"] is None for name in first)
    silence_s = LEAD_S + TAIL_S - 2 * 0.05  # around a take's speech, of which 50 ms are kept at each end
    slots = np.array([cue["slot_s"] * MOST for cue in report["cues"]])
    for name in second:
        assert np.abs(slots - (speaker.rows[name]["max_duration_s"] - silence_s)).min() < 1e-5
    fitting = [cue for cue in report["cues"] if cue["fit"] == "fits" and cue["takes"] == 2]
    assert fitting
    for cue in report["cues"]:
        assert cue["takes"] in (0, 2, 6)
    # a sentence that its limit cut off is never taken while there is a whole one
    assert all(cue["passed"] for cue in placed)

    rows = [*csv.DictReader(io.StringIO((place / "dub/report.csv").read_text(encoding="utf-8")))]
    assert [row["fit"] for row in rows] == [cue["fit"] for cue in report["cues"]]
    assert json.loads((place / "dub/report.json").read_text(encoding="utf-8")) == report


def test_the_same_again_does_nothing_and_a_changed_cue_only_that(place, monkeypatch):
    cues = [(0.0, 2.0, "ANNA: First.", ""), (2.0, 4.0, "Second.", ""), (4.0, 6.0, "[ANNA] First.", "")]
    write_srt(place / "film.srt", cues)
    write_original(place / "film.wav", 300_000)
    original = str(place / "film.wav")
    speaker = Speaker(lambda row: (1.0, {}))
    first = dub(monkeypatch, speaker, place, original=original)
    assert [len(ids) for ids in speaker.spoken] == [6]
    assert first["counts"]["fits"] == 3
    written = {
        path: path.stat().st_mtime_ns for path in (place / "dub").rglob("*") if path.suffix != ".jsonl"
    }

    assert dub(monkeypatch, speaker, place, original=original) == first
    assert speaker.spoken[1:] == [[]]
    kept = {path: path.stat().st_mtime_ns for path in written if path.exists()}
    assert {p for p in written if p.is_file() and kept[p] != written[p]} <= {
        place / "dub/dub.json",
        place / "dub/runs/1/run.json",
    }

    (place / "dub/stems/01-anna.flac").unlink()
    assert dub(monkeypatch, speaker, place, original=original) == first
    assert (place / "dub/stems/01-anna.flac").exists()
    assert speaker.spoken[2:] == [[]]

    # another cue before them, one text changed, another moved: two lines are spoken
    cues = [(0.0, 0.5, "New.", ""), (0.5, 2.5, "ANNA: First.", ""), (3.0, 5.0, "Another.", ""), *cues[2:]]
    write_srt(place / "film.srt", cues)
    changed = dub(monkeypatch, speaker, place, original=original)
    assert len(speaker.spoken[3]) == 4
    assert {speaker.rows[name]["target_text"] for name in speaker.spoken[3]} == {"New.", "Another."}
    assert [cue["text"] for cue in changed["cues"]] == ["New.", "First.", "Another.", "First."]
    assert changed["made_from"] != first["made_from"]


def test_failed_takes_are_never_silent(place, monkeypatch):
    write_srt(place / "film.srt", [(0.0, 1.0, "ANNA: Good.", ""), (1.0, 2.0, "ANNA: =Bad.", "")])
    fault = {
        "status": "failed",
        "error_code": "no_audio_generated",
        "error_message": "none",
        "duration_s": None,
    }

    def speak(row):
        return 0.5, {} if row["target_text"] == "Good." else {**fault, "audio": None}

    monkeypatch.setattr(jobs.dubbing, "clone_voices", Speaker(speak))
    app = __import__("typer").Typer()
    app.command()(command)
    line = [str(place / "film.srt"), "--out", str(place / "dub"), "--voices", str(place / "voices.toml")]
    (place / "voices.toml").write_text('[anna]\nref = "voices/anna.wav"\n')
    result = CliRunner().invoke(app, [*line, "--length", "2.5"])
    assert result.exit_code == 1, result.output
    assert "cue 2 at 1.000 s: missing: no_audio_generated: none ('=Bad.')" in result.output
    assert "1 fits, 1 missing" in result.output
    assert "2.500 s, 120000 samples at 48000 Hz" in result.output
    rows = [*csv.DictReader(io.StringIO((place / "dub/report.csv").read_text(encoding="utf-8")))]
    assert rows[1]["text"] == "'=Bad."  # no spreadsheet runs it
    assert rows[1]["fit"] == "missing"
    track = samples_of(place / "dub/track.flac", 48_000)
    assert len(track) == 120_000
    assert not track[48_000:].any()


def test_of_a_cue_without_room_nothing_is_claimed(place, monkeypatch):
    cues = [(0.5, 2.0, "ANNA: First.", ""), (0.5, 3.0, "ANNA: Second.", ""), (3.0, 4.0, "ANNA: Last.", "")]
    write_srt(place / "film.srt", cues)
    (place / "voices.toml").write_text('[anna]\nref = "voices/anna.wav"\n')
    report = dub(monkeypatch, Speaker(lambda row: (0.9, {})), place, length_s=5.0)
    assert report["counts"] == {
        **dict.fromkeys(("stretched", "runs_over", "cut", "missing", "silent"), 0),
        "fits": 2,
        "no_room": 1,
    }
    first = report["cues"][0]
    claimed = ("placed_start_s", "placed_end_s", "stretch", "over_s", "cut_s", "take", "passed", "clip")
    assert [first[name] for name in claimed] == [None] * len(claimed)
    back = pysubs2.SSAFile.load(str(place / "dub/subtitles.srt"))
    assert [event.text for event in back] == ["Second.", "Last."]
    console = Console(file=io.StringIO(), width=200)
    assert print_dub(console, report, "out") == 1
    told = console.file.getvalue().splitlines()
    assert told[0] == "cue 1 at 0.500 s: no room: another cue begins with it; move one of them ('First.')"
    assert told[1] == "cues       2 fits, 1 no room"


def test_cues_keep_their_numbers_and_empty_ones_are_silent(place, monkeypatch):
    (place / "film.srt").write_text(
        "5\n00:00:00,000 --> 00:00:01,000\n\n7\n00:00:01,000 --> 00:00:03,000\nANNA: Seven.\n\n"
        "8\n00:00:04,000 --> 00:00:05,000\n(door slams)\n",
        encoding="utf-8",
    )
    (place / "voices.toml").write_text('[anna]\nref = "voices/anna.wav"\n')  # the silent ones need none
    report = dub(monkeypatch, Speaker(lambda row: (1.0, {})), place, length_s=6.0)
    told = [(cue["cue"], cue["fit"], cue["clip"]) for cue in report["cues"]]
    assert told == [(5, "silent", None), (7, "fits", "clips/00007-anna.flac"), (8, "silent", None)]
    written = (place / "dub/subtitles.srt").read_text(encoding="utf-8")
    assert written.startswith("7\n00:00:01,000 --> ")
    assert "\n\n8\n00:00:04,000 --> 00:00:05,000\n(door slams)\n" in written


def test_badly_heard_cues_and_the_models_note_are_told(place, monkeypatch):
    cues = [(float(at), at + 1.0, f"ANNA: {text}.", "") for at, text in enumerate(["Good", "Bad", "Worse"])]
    write_srt(place / "film.srt", cues)
    (place / "voices.toml").write_text('[anna]\nref = "voices/anna.wav"\n')
    wer = {"Good.": 0.5, "Bad.": 0.75, "Worse.": 1.0}
    speaker = Speaker(lambda row: (0.5, {"wer": wer[row["target_text"]], "model": "voicemill-mini@ab12"}))
    report = dub(monkeypatch, speaker, place, length_s=4.0)
    console = Console(file=io.StringIO(), width=300)
    assert print_dub(console, report, "out") == 0
    told = console.file.getvalue().splitlines()
    heard = "cues with more than half of the words heard wrong: 2, such as cue 3 1.00, cue 2 0.75"
    assert told[-2] == f"{heard}: gates (--set gates.max_wer=...) speak such again"
    assert told[-1].startswith("note: voicemill-mini is a small model")


def test_a_mix_and_the_picture(place, monkeypatch):
    write_srt(place / "film.srt", [(1.0, 3.0, "ANNA: Over music.", "")])
    bed = 0.1 * np.sin(2 * np.pi * 100 * np.arange(5 * 44_100) / 44_100)
    soundfile.write(place / "bed.wav", np.stack([bed, bed], axis=1), 44_100)
    with av.open(str(place / "film.mp4"), "w") as out:
        video = out.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(100):
            grey = np.full((48, 64, 3), 2 * number, np.uint8)
            out.mux(video.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        out.mux(video.encode(None))
    (place / "voices.toml").write_text('[anna]\nref = "voices/anna.wav"\n')
    report = dub(
        monkeypatch,
        Speaker(lambda row: (1.5, {})),
        place,
        original=str(place / "film.mp4"),
        bed=str(place / "bed.wav"),
        video=True,
    )
    assert report["files"]["video"] == "dubbed.mp4"
    mix, rate = soundfile.read(place / "dub/mix.flac")
    assert (rate, mix.shape) == (48_000, (report["samples"], 2))
    at = np.sin(2 * np.pi * 100 * np.arange(report["samples"]) / rate)

    def bed_level(begin_s, end_s):
        part = slice(int(begin_s * rate), int(end_s * rate))
        return 2 * abs(np.mean(mix[part, 0] * at[part]))

    assert bed_level(0.1, 0.7) == pytest.approx(0.1, rel=0.02)
    assert bed_level(1.2, 2.2) == pytest.approx(0.1 * 10 ** (-12 / 20), rel=0.05)
    with av.open(str(place / "dub/dubbed.mp4")) as dubbed, av.open(str(place / "film.mp4")) as film:
        pictures = [bytes(packet) for packet in dubbed.demux(video=0) if packet.size]
        assert pictures == [bytes(packet) for packet in film.demux(video=0) if packet.size]
    with av.open(str(place / "dub/dubbed.mp4")) as dubbed:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in dubbed.decode(audio=0)])
        assert dubbed.streams.audio[0].codec_context.name == "aac"
        assert len(heard) == pytest.approx(report["samples"], abs=2048)
        assert pitch(heard[int(1.2 * 48_000) : int(2.2 * 48_000)], 48_000) == pytest.approx(300, rel=0.01)


@pytest.mark.parametrize("form", ["vtt", "ass", "csv"])
def test_other_forms_of_subtitles(place, monkeypatch, form):
    """Each comes back in its own form (a cue sheet as SRT), with the times of the track."""
    text = {
        "vtt": "WEBVTT\n\n00:01.000 --> 00:03.000\n<v Anna>Good\nevening.\n",
        "ass": "[Events]\nDialogue: 0,0:00:01.00,0:00:03.00,Default,Anna,0,0,0,,Good\\Nevening.\n",
        "csv": 'In,Out,Who,end,Line\n1,3,Anna,x,"Good\nevening."\n',
    }[form]
    (place / f"film.{form}").write_text(text, encoding="utf-8")
    columns = ("start=In", "end=Out", "speaker=Who", "text=Line") if form == "csv" else ()
    (place / "voices.toml").write_text('[ANNA]\nref = "voices/anna.wav"\n')
    monkeypatch.setitem(PITCHES, "ANNA", 300.0)
    report = dub(
        monkeypatch,
        Speaker(lambda row: (1.2, {})),
        place,
        subtitles=str(place / f"film.{form}"),
        columns=columns,
        length_s=4.0,
        sample_rate=24_000,
    )
    assert report["stems"] == {"ANNA": "stems/01-anna.flac"}
    name = report["files"]["subtitles"]
    assert name == {"csv": "subtitles.srt"}.get(form, f"subtitles.{form}")
    [event] = pysubs2.SSAFile.load(str(place / "dub" / name))
    # 1.2 s of speech, and 50 ms of the silence around it at each end
    assert (event.start, event.end, event.plaintext) == (1000, 2300, "Good\nevening.")


def test_a_bed_that_was_mixed_anew_and_what_is_no_part_any_more(place, monkeypatch):
    write_srt(place / "film.srt", [(1.0, 3.0, "ANNA: Over music.", "")])
    (place / "voices.toml").write_text('[anna]\nref = "voices/anna.wav"\n')
    speaker = Speaker(lambda row: (1.5, {}))
    told = []
    monkeypatch.setattr(jobs.dubbing, "say", lambda _, text: told.append(text))
    for level in (8_192, 4_096):  # of the same length, so that both files have one size
        soundfile.write(place / "bed.wav", np.full(5 * 44_100, level, np.int16), 44_100)
        report = dub(monkeypatch, speaker, place, length_s=4.0, bed=str(place / "bed.wav"))
        mix = samples_of(place / "dub/mix.flac", 48_000)
        # mono is on both channels as it is; 32767 is written for full scale
        assert np.abs(mix[1000:20_000] - round(level * 32767 / 32768)).max() <= 1
    assert report["files"]["mix"] == "mix.flac"
    assert not any("--bed" in line for line in told)
    dub(monkeypatch, speaker, place, length_s=6.5, bed=str(place / "bed.wav"))
    ends = "ends at 5.000 s, the track at 6.500 s; behind it the mix is speech alone"
    assert any(line.startswith("--bed: ") and line.endswith(ends) for line in told)
    (place / "dub/mine.flac").write_bytes(b"mine")
    report = dub(monkeypatch, speaker, place, length_s=4.0)
    assert "mix" not in report["files"]
    assert not (place / "dub/mix.flac").exists()
    assert (place / "dub/mine.flac").exists()


def test_a_dub_in_an_object_store(place, s3, monkeypatch):
    write_srt(place / "film.srt", [(0.0, 2.0, "ANNA: First.", ""), (2.0, 2.5, "ANNA: Second.", "")])
    (place / "voices.toml").write_text('[anna]\nref = "voices/anna.wav"\n')
    speaker = Speaker(lambda row: (1.0, {}))
    monkeypatch.setattr(jobs.dubbing, "clone_voices", speaker)
    options = DubOptions(str(place / "film.srt"), str(place / "voices.toml"), length_s=3.0)
    report = jobs.dubbing.dub(f"{s3}/dub", options, load_config(None, []), CONSOLE)
    assert report["counts"]["fits"] == 1
    info = soundfile.info(io.BytesIO(open_store(f"{s3}/dub").get("track.flac")))
    assert (info.frames, info.samplerate) == (144_000, 48_000)
    assert jobs.dubbing.dub(f"{s3}/dub", options, load_config(None, []), CONSOLE) == report
