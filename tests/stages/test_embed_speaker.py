"""The least similar window; the similarity itself is in test_model_stages.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.audio import Waveform, encode_flac
from pipeline.evaluators.base import SpeakerEmbedding
from pipeline.records import Row
from pipeline.stages.embed_speaker import embed_speaker

RATE = 24_000
REFERENCE = [1.0, 0.5]  # the loud voice


class HearsLoudness:
    """Embeds a clip as (1, its largest sample); what is silent it does not embed."""

    id = "hears-loudness@1"

    def __init__(self) -> None:
        self.calls: list[list[tuple[int, int]]] = []

    def embed(self, waveforms: Sequence[Waveform]) -> list[SpeakerEmbedding]:
        self.calls.append([(len(w.samples), w.sample_rate) for w in waveforms])
        return [
            SpeakerEmbedding(np.array([1.0, w.samples.max()], np.float32))
            if w.samples.any()
            else SpeakerEmbedding(None, "silent")
            for w in waveforms
        ]


def spoken(
    number: int, seconds: float, loud_after_s: float, embedding: list[float] | None = REFERENCE
) -> Row:
    """Four bursts a second, quiet at first."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = 0.1 * np.sin(2 * np.pi * 200 * time) * (time * 4 % 1 < 0.8)
    wave[time >= loud_after_s] *= 5.0
    data = encode_flac(Waveform(wave.astype(np.float32), RATE))
    return {
        "row": number,
        "utterance_id": f"u{number}",
        "audio": {"bytes": data},
        "prompt_embedding": embedding,
    }


def test_the_least_similar_window_and_one_call_for_all() -> None:
    encoder = HearsLoudness()
    rows = [
        spoken(1, 4.0, 2.4),
        spoken(2, 4.0, 9.0),
        spoken(3, 3.1, 9.0),
        spoken(4, 4.0, 9.0, embedding=None),
        spoken(5, 0.0, 0.0) | {"failed_stage": "decode_codes"},
    ]
    out = embed_speaker(rows, encoder)
    # at 16 kHz: the clip, and windows of 1.6 s at 0, 0.8, 1.6, 2.4 where it is long enough
    window = (25_600, 16_000)
    whole = [(round(s * 16_000), 16_000) for s in (4.0, 4.0, 3.1, 4.0)]
    assert encoder.calls == [[whole[0], *[window] * 4, whole[1], *[window] * 4, whole[2], whole[3]]]
    quiet = (1 + 0.5 * 0.1) / np.sqrt((1 + 0.5**2) * (1 + 0.1**2))  # cosine of (1, 0.5) and (1, 0.1): 0.934
    assert out[0]["similarity"] == pytest.approx(1.0, abs=0.01)
    assert out[0]["similarity_window_min"] == pytest.approx(quiet, abs=0.01)
    assert out[1]["similarity_window_min"] == pytest.approx(quiet, abs=0.01)
    assert out[2]["similarity"] == pytest.approx(quiet, abs=0.01)
    assert out[2]["similarity_window_min"] is None
    assert out[3]["similarity"] is None
    assert "similarity_window_min" not in out[4]


def test_the_ground_truth_is_compared_with_whatever_the_reference_is() -> None:
    given = {"ground_truth_id": "g", "ground_truth_embedding": [1.0, 0.5]}
    rows = [
        spoken(1, 1.0, 9.0) | given,
        spoken(2, 1.0, 9.0, embedding=None) | given,
        spoken(3, 1.0, 9.0) | given | {"ground_truth_embedding": None},
        spoken(4, 1.0, 9.0),
        spoken(5, 0.0, 0.0) | given,
    ]
    rows[4]["audio"] = {"bytes": encode_flac(Waveform(np.zeros(RATE, np.float32), RATE))}
    out = embed_speaker(rows, HearsLoudness())
    quiet = (1 + 0.5 * 0.1) / np.sqrt((1 + 0.5**2) * (1 + 0.1**2))
    assert out[0]["similarity_ground_truth"] == pytest.approx(quiet, abs=0.01)
    assert out[0].get("unscored_reason") is None
    assert out[1]["similarity"] is None
    assert out[1]["similarity_ground_truth"] == out[0]["similarity_ground_truth"]
    assert out[2]["similarity"] == out[0]["similarity"]
    assert out[2]["similarity_ground_truth"] is None
    assert out[2]["unscored_reason"] == "ground truth: no speaker embedding of it"
    assert "similarity_ground_truth" not in out[3]
    assert out[4]["unscored_reason"] == "similarity: silent; ground truth: silent"


def test_windows_without_an_embedding_are_left_out() -> None:
    class DeafToWindows(HearsLoudness):
        def embed(self, waveforms: Sequence[Waveform]) -> list[SpeakerEmbedding]:
            found = super().embed(waveforms)
            return [found[0], *[SpeakerEmbedding(None, "deaf")] * (len(found) - 1)]

    [made] = embed_speaker([spoken(1, 4.0, 9.0)], DeafToWindows())
    assert made["similarity"] > 0.9
    assert made["similarity_window_min"] is None
