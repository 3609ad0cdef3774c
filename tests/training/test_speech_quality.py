"""Figures of three rows, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.audio import Waveform
from pipeline.evaluators import SpeakerEmbedding, Transcript
from pipeline.training.speech_quality import SpokenRow, best_of, listen, summary

VOICES = {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0]), "c": np.array([-1.0, 0.0])}


class SaysWhatItIsTold:
    """The first sample of a clip is the number of the answer."""

    id = "fake"

    def __init__(self, *answers: str) -> None:
        self.answers = answers

    def transcribe(self, waveforms, languages):
        return [Transcript(self.answers[int(w.samples[0])]) for w in waveforms]


class HearsAnAngle:
    """The second sample of a clip is the angle of its embedding."""

    id = "fake"

    def embed(self, waveforms):
        angles = [float(w.samples[1]) for w in waveforms]
        return [SpeakerEmbedding(np.array([math.cos(a), math.sin(a)], np.float32)) for a in angles]


def clip(answer: int, angle: float) -> Waveform:
    return Waveform(np.array([answer, angle, *[0.1] * 23_998], np.float32), 24_000)


def row(name: str, voice: str, audio: Waveform | None) -> SpokenRow:
    return SpokenRow(name, voice, "One two, three four.", "en", audio, finished=audio is not None)


def test_figures_by_hand() -> None:
    rows = [row("1", "a", clip(0, 0.0)), row("2", "b", clip(1, 0.0)), row("3", "c", None)]
    heard = listen(rows, SaysWhatItIsTold("one two three four", "one too three"), HearsAnAngle(), VOICES, 3)
    figures = summary(heard)
    # no errors; one substitution and one deletion; four deletions
    assert figures["wer"] == pytest.approx(6 / 12)
    assert figures["wer_macro"] == pytest.approx((0 + 0.5 + 1) / 3)
    # the first is its own voice (1 against 0 and -1); the second sounds like `a`: 0 against -1 and 1
    assert heard[0].right == pytest.approx(1.0)
    assert heard[1].wrong == pytest.approx((-1.0, 1.0), abs=1e-6)
    assert figures["identified"] == 0.5
    assert figures["right_minus_wrong"] == pytest.approx((1.5 + 0.0) / 2)
    assert (figures["rows"], figures["silent"], figures["seconds"]) == (3, 1, 1.0)
    assert figures["finished"] == pytest.approx(2 / 3)


def test_fewer_voices_are_those_that_follow() -> None:
    (heard,) = listen([row("1", "c", clip(0, 0.0))], SaysWhatItIsTold(""), HearsAnAngle(), VOICES, 2)
    assert (heard.right, heard.wrong) == (pytest.approx(-1.0), (pytest.approx(1.0),))


def test_the_best_take_has_the_fewest_wrong_characters() -> None:
    transcriber = SaysWhatItIsTold("one", "one two three for")
    takes = [
        listen([row("1", "a", clip(answer, 0.0))], transcriber, HearsAnAngle(), VOICES, 2)
        for answer in (0, 1)
    ]
    (best,) = best_of(takes)
    assert best.hypothesis == "one two three for"
    assert summary([best])["wer"] == 0.25
