"""Speakers who talk over each other, as their cues do."""

from __future__ import annotations

import io

import numpy as np
import pysubs2
from dub_here import dub
from hard_cues import samples_of, write_srt
from made_dubs import PITCHES, RATE, Speaker, sound
from rich.console import Console

from pipeline.audio import Waveform

CUES = [
    (0.5, 3.0, "[ANNA] She goes on.", ""),
    (1.0, 2.0, "BEN & SÖHNE: He falls in.", ""),
    (2.5, 4.0, "[ANNA] Her next.", ""),
]
VOICES = '[anna]\nref = "voices/anna.wav"\n["Ben & Söhne"]\nref = "voices/ben.wav"\n'


def tone_at(samples: np.ndarray, pitch: float, rate: int) -> float:
    """Its amplitude, over a whole number of its periods."""
    at = np.arange(len(samples)) / rate
    return 2 * abs(np.mean(samples / 32768 * np.exp(-2j * np.pi * pitch * at)))


def dubbed(place, monkeypatch, **options):
    write_srt(place / "film.srt", CUES)
    (place / "voices.toml").write_text(VOICES, encoding="utf-8")
    return dub(
        monkeypatch, Speaker(lambda row: (1.9, {})), place, length_s=5.0, sample_rate=24_000, **options
    )


def test_with_crosstalk_both_sound(place, monkeypatch):
    report = dubbed(place, monkeypatch, crosstalk=True)
    spans = [(cue["fit"], cue["placed_start_s"], cue["placed_end_s"]) for cue in report["cues"]]
    # 1.9 s with 50 ms at each end: 2.0 until her own next; of 1.74 at 1.15 times the pace 1.0, where she goes on; 1.74 with a gap
    assert spans[0] == ("fits", 0.5, 2.5)
    assert spans[1] == ("cut", 1.0, 2.0)
    assert spans[2][:2] == ("runs_over", 2.5)
    track = samples_of(place / "dub/track.flac", 24_000)
    both = track[round(1.2 * 24_000) : round(1.9 * 24_000)]
    for speaker in ("anna", "Ben & Söhne"):
        assert 0.2 < tone_at(both, PITCHES[speaker], 24_000) < 0.3
    stems = [samples_of(place / "dub" / key, 24_000) for key in report["stems"].values()]
    total = sum(stem.astype(np.int32) for stem in stems)
    assert np.abs(total - track).max() <= 1  # each is rounded to 16 bits
    back = pysubs2.SSAFile.load(str(place / "dub/subtitles.srt"))
    assert [(event.start, event.end) for event in back][:2] == [(500, 2500), (1000, 2000)]


def test_two_loud_voices_at_once_are_lowered_together(place, monkeypatch):
    def loud(row, seconds):
        made = sound(row, seconds)
        return Waveform(3.6 * made.samples, made.sample_rate)  # 0.9 each

    monkeypatch.setattr("made_dubs.sound", loud)
    dubbed(place, monkeypatch, crosstalk=True)
    track = samples_of(place / "dub/track.flac", 24_000) / 32768
    peak = np.abs(track).max()
    assert 10 ** (-1.01 / 20) < peak < 10 ** (-0.99 / 20)
    one = np.abs(track[round(3.0 * RATE) : round(3.8 * RATE)]).max()
    both = np.abs(track[round(1.2 * RATE) : round(1.9 * RATE)]).max()
    assert 1.9 < both / one < 2.0  # nothing is bent


def test_without_it_cues_end_where_the_next_begins_and_the_option_is_told(place, monkeypatch):
    said = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr("dub_here.CONSOLE", said)
    report = dubbed(place, monkeypatch)
    assert [cue["placed_end_s"] for cue in report["cues"]][:2] == [1.0, 2.5]
    assert "cues into which another speaker's begin: 1; they end there (--crosstalk" in said.file.getvalue()
