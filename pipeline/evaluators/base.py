"""The listeners' protocols: one that writes down what was said, one that measures who said it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.audio import Waveform

# Under this level there is nothing to hear; asked all the same, Whisper answers "thank you" and
# Resemblyzer NaN. 16-bit rounding noise lies at -98 dBFS, the quietest usable speech above -60.
SILENCE_DBFS = -70.0
_SILENCE_POWER: float = 10.0 ** (SILENCE_DBFS / 10.0)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard ("" for silence), or None and why nobody listened."""

    text: str | None
    unscored_reason: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SpeakerEmbedding:
    """A voice as a finite, non-zero float32 vector [D], or None and why it has none."""

    vector: npt.NDArray[np.float32] | None
    unscored_reason: str | None = None


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


def is_silent(waveform: Waveform) -> bool:
    """True for no samples, and for an RMS level over the whole clip below `SILENCE_DBFS`."""
    if len(waveform.samples) == 0:
        return True
    power = float(np.mean(np.square(waveform.samples, dtype=np.float64)))
    return power < _SILENCE_POWER


def primary_subtag(language: str) -> str:
    """`en` of `en-GB` (BCP-47)."""
    return language.replace("_", "-").split("-")[0].lower()


def as_embedding(vector: npt.NDArray[np.float32]) -> SpeakerEmbedding:
    """The vector, unless it has no direction: a NaN must never reach a mean."""
    if not np.isfinite(vector).all() or not vector.any():
        return SpeakerEmbedding(None, "the speaker encoder gave no usable embedding")
    return SpeakerEmbedding(vector.astype(np.float32, copy=False))
