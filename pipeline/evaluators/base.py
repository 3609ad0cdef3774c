"""The listeners' protocols: what was said, who said it, how good it sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.audio import Waveform
from pipeline.metrics.silence import SILENCE_DBFS, speech_frames

_SILENCE_POWER: float = 10.0 ** (SILENCE_DBFS / 10.0)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard, or None and why nobody listened; "" and a reason where there was no speech to show.

    The rest is None where the transcriber does not say it. `language` (BCP-47) is the one it would have
    chosen unasked, `language_probability` its share among all languages. `no_speech_probability` and
    `avg_logprob` (nats per token, the end token included) are Whisper's (Radford et al. 2022, section 4.5).
    """

    text: str | None
    unscored_reason: str | None = None
    language: str | None = None
    language_probability: float | None = None
    no_speech_probability: float | None = None
    avg_logprob: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SpeakerEmbedding:
    """A voice as a finite, non-zero float32 vector [D], or None and why it has none."""

    vector: npt.NDArray[np.float32] | None
    unscored_reason: str | None = None


@dataclass(frozen=True, slots=True)
class QualityScores:
    """Opinion scores of ITU-T P.835, 1 (bad) to 5: the whole, the speech signal, the background noise."""

    overall: float
    signal: float
    background: float


class Transcriber(Protocol):
    """Speech to text. What it says of a clip depends on that clip and its language alone."""

    @property
    def id(self) -> str:
        """Model and revision, e.g. `openai/whisper-large-v3@<revision>`; `demo:` marks the embedded one."""

    def transcribe(self, waveforms: Sequence[Waveform], languages: Sequence[str]) -> list[Transcript]:
        """One transcript per waveform (any sample rate) and BCP-47 language, in their order."""


class SpeakerEncoder(Protocol):
    """Voice to vector; compare two with `pipeline.metrics.similarity.cosine`."""

    @property
    def id(self) -> str:
        """Model and revision, as for `Transcriber`."""

    def embed(self, waveforms: Sequence[Waveform]) -> list[SpeakerEmbedding]:
        """One embedding per waveform (any sample rate), in their order."""


class QualityModel(Protocol):
    """Opinion scores without a listener. No gate: digital silence, too, gets a middling score."""

    @property
    def id(self) -> str:
        """Model and revision, as for `Transcriber`."""

    def rate(self, waveforms: Sequence[Waveform]) -> list[QualityScores | None]:
        """The scores of each waveform (any sample rate), in their order; None without any speech."""


def without_speech(waveform: Waveform) -> Transcript | None:
    """The transcript of a clip that no transcriber is shown, None for one with speech.

    Silence and steady noise are where transcribers invent; a clip without speech is a fault of the speech,
    heard as nothing (a WER of 1), not one of the hearing.
    """
    if is_silent(waveform):
        return Transcript("", f"silent: under {SILENCE_DBFS:g} dBFS")
    if not speech_frames(waveform).any():
        return Transcript("", "silent: no speech in the sound, which is steady, or shorter than a syllable")
    return None


def is_silent(waveform: Waveform) -> bool:
    """True for no samples, and for an RMS level over the whole clip below `SILENCE_DBFS`."""
    if len(waveform.samples) == 0:
        return True
    power = float(np.mean(np.square(waveform.samples, dtype=np.float64)))
    return power < _SILENCE_POWER


def as_embedding(vector: npt.NDArray[np.float32]) -> SpeakerEmbedding:
    """The vector, unless it has no direction: a NaN must never reach a mean."""
    if not np.isfinite(vector).all() or not vector.any():
        return SpeakerEmbedding(None, "the speaker encoder gave no usable embedding")
    return SpeakerEmbedding(vector.astype(np.float32, copy=False))
