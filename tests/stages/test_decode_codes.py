"""What decode_codes writes into the clips, and that the codes and their hashes stay what they were."""

from __future__ import annotations

import hashlib

import numpy as np

from pipeline.audio import Waveform, decode_audio
from pipeline.provenance import comments_of
from pipeline.records import Row
from pipeline.stages.decode_codes import decode_codes

CODES = np.arange(12, dtype=np.uint16).reshape(2, 6)


class Steady:
    """A codec whose every clip is the same."""

    def decode(self, clips: list) -> list[Waveform]:
        return [Waveform(np.full(100, 0.25, np.float32), 16_000) for _ in clips]


class Louder:
    """A watermark that can be seen."""

    def embed(self, waveform: Waveform) -> Waveform:
        return Waveform(waveform.samples * 2, waveform.sample_rate)

    def detect(self, waveform: Waveform) -> float:
        return float(waveform.samples[0])


def row(name: str) -> Row:
    data = CODES.astype("<u2").tobytes()
    sha = hashlib.sha256(data).hexdigest()
    return {"row": 1, "utterance_id": name, "failed_stage": None, "codes": data, "codes_shape": [2, 6],
            "codes_dtype": "uint16", "codes_sha256": sha}  # fmt: skip


def test_every_clip_says_how_it_was_made() -> None:
    out = decode_codes([row("a"), row("b")], Steady(), {"SYNTHETIC": "true", "MODEL": "m@1"})
    for made, name in zip(out, "ab", strict=True):
        assert comments_of(made["audio"]["bytes"]) == {
            "SYNTHETIC": "true",
            "MODEL": "m@1",
            "UTTERANCE_ID": name,
        }
        assert {key: made[key] for key in row(name)} == row(name)
        assert np.allclose(decode_audio(made["audio"]["bytes"]).samples, 0.25, atol=1e-4)
        assert made["watermark_score"] is None
        assert made["audio_sha256"] == hashlib.sha256(made["audio"]["bytes"]).hexdigest()
    assert out[0]["audio_sha256"] != out[1]["audio_sha256"], "of the file, which has its row's id"


def test_the_mark_is_in_the_clip_that_is_listened_to() -> None:
    [made] = decode_codes([row("a")], Steady(), {}, Louder())
    assert np.allclose(decode_audio(made["audio"]["bytes"]).samples, 0.5, atol=1e-4)
    assert made["watermark_score"] == 0.5
