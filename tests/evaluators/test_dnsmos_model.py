"""Against speechmos' own `run`, which goes clip by clip and window by window."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pipeline.audio import Waveform, resample
from pipeline.errors import CheckpointError
from pipeline.evaluators import load_quality_model, quality_model_id


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "speechmos", None)
    with pytest.raises(CheckpointError, match=r"dnsmos needs .* pip install 'voicemill\[quality\]'"):
        load_quality_model("dnsmos")


@pytest.fixture(scope="module")
def dnsmos():
    # importing it asks for onnxruntime, librosa and requests, too
    return pytest.importorskip("speechmos.dnsmos", reason="no speechmos here: install voicemill[quality]")


@pytest.fixture(scope="module")
def model(dnsmos):
    return load_quality_model("dnsmos")


@pytest.mark.parametrize("seconds", [8.9, 10.02])
def test_scores_are_those_of_speechmos(dnsmos, model, voices, seconds):
    samples = np.concatenate([waveform.samples for waveform, _ in voices.values()])[: round(seconds * 16_000)]
    expected = dnsmos.run(samples, 16_000)
    (scores,) = model.rate([Waveform(samples, 16_000)])
    assert (scores.overall, scores.signal, scores.background) == pytest.approx(
        [expected["ovrl_mos"], expected["sig_mos"], expected["bak_mos"]], abs=1e-4
    )


def test_other_rates_are_resampled_and_no_speech_has_no_score(model, voices):
    voice = voices["slt-2.flac"][0]
    loud = Waveform(3.0 * resample(voice, 24_000).samples, 24_000)  # speechmos refuses samples beyond 1
    silent, found = model.rate([Waveform(np.zeros(16_000, np.float32), 16_000), loud])
    assert silent is None
    assert 1.0 <= found.overall <= 5.0


def test_id_names_model_and_version(model):
    assert model.id == quality_model_id("dnsmos")
    assert model.id.startswith("dnsmos-p835/speechmos-0.0")
