"""The mark is found where it is, and nowhere else; what the package lacks is told in one line."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import Waveform, decode_audio, encode_flac, resample
from pipeline.errors import CheckpointError
from pipeline.watermark import PerthWatermark, load_watermark, watermark_id

VOICES = sorted((Path(__file__).parents[1] / "manifests" / "voices").glob("*.flac"))


def test_no_watermark_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "perth", None)
    assert load_watermark("none") is None
    assert watermark_id("none") == "none"


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "perth", None)  # what Python takes for "not there"
    with pytest.raises(CheckpointError, match=r"pip install 'voicemill\[watermark\]'"):
        PerthWatermark()


def test_a_package_that_could_not_import_its_own_parts_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = types.ModuleType("perth")
    broken.PerthImplicitWatermarker = None
    monkeypatch.setitem(sys.modules, "perth", broken)
    with pytest.raises(CheckpointError, match="not importable"):
        PerthWatermark()


def test_another_name_is_refused() -> None:
    with pytest.raises(CheckpointError, match="audioseal: no such watermark"):
        load_watermark("audioseal")


@pytest.fixture(scope="module")
def perth() -> PerthWatermark:
    pytest.importorskip("perth", reason="the extra `watermark` is not installed")
    mark = load_watermark("perth")
    assert mark is not None
    return mark


@pytest.fixture(scope="module")
def voices() -> list[Waveform]:
    return [decode_audio(path.read_bytes()) for path in VOICES]


def test_marked_speech_is_told_from_unmarked(perth: PerthWatermark, voices: list[Waveform]) -> None:
    for voice in voices:
        marked = perth.embed(voice)
        assert len(marked.samples) == len(voice.samples)
        assert marked.sample_rate == voice.sample_rate
        assert marked.samples.dtype == np.float32
        assert perth.detect(marked) > 0.9
        assert perth.detect(voice) < 0.1


def test_the_mark_outlives_the_file(perth: PerthWatermark, voices: list[Waveform]) -> None:
    marked = perth.embed(voices[0])
    assert perth.detect(decode_audio(encode_flac(marked))) > 0.9
    assert perth.detect(resample(resample(marked, 8_000), 44_100)) > 0.9
    assert perth.detect(Waveform(marked.samples * np.float32(0.3), marked.sample_rate)) > 0.9


def test_what_lies_above_the_networks_rate_stays(perth: PerthWatermark) -> None:
    # 18 kHz at 48 kHz: a way through 32 kHz would take it out
    time = np.arange(48_000) / 48_000
    tone = np.sin(2 * np.pi * 18_000 * time).astype(np.float32) * 0.1
    marked = perth.embed(Waveform(tone, 48_000)).samples
    spectrum = np.abs(np.fft.rfft(marked)) / (len(tone) / 2)
    assert spectrum[18_000] == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("samples", [1, 100, 2047, 5001])
def test_clips_of_any_length(perth: PerthWatermark, samples: int) -> None:
    noise = np.random.default_rng(7).normal(0, 0.1, samples).astype(np.float32)
    marked = perth.embed(Waveform(noise, 24_000))
    assert marked.samples.shape == (samples,)
    assert np.isfinite(marked.samples).all()
    assert 0.0 <= perth.detect(marked) <= 1.0


def test_silence_stays_silence(perth: PerthWatermark) -> None:
    silence = Waveform(np.zeros(24_000, np.float32), 24_000)
    assert np.abs(perth.embed(silence).samples).max() < 1e-3
    assert perth.detect(silence) < 0.1
