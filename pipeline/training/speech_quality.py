"""How well a checkpoint speaks: what an ASR hears, and whose voice a speaker encoder finds in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.audio import WHISPER_SAMPLE_RATE, Waveform, from_int16
from pipeline.evaluators import SpeakerEncoder, Transcriber
from pipeline.metrics.error_rates import char_errors, error_rate, word_errors
from pipeline.metrics.normalizers import normalizer_for
from pipeline.metrics.similarity import cosine
from pipeline.records import ChatMLSample, ErrorCounts

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SpokenRow:
    """A held-out row and what was made of it; `audio` is None where the model said nothing."""

    utterance_id: str
    voice: str
    text: str
    language: str
    audio: Waveform | None
    finished: bool  # by the model's own EOS


@dataclass(frozen=True, slots=True)
class HeardRow:
    """Counts against the text, and similarities: to the row's own reference, and to other voices'."""

    row: SpokenRow
    hypothesis: str
    words: ErrorCounts
    chars: ErrorCounts
    right: float | None
    wrong: tuple[float, ...]


def voices_of(samples: Mapping[str, ChatMLSample], encoder: SpeakerEncoder) -> dict[str, Vector]:
    """A voice's embedding by name, from the reference waveform of one of its samples."""
    names = list(samples)
    clips = [Waveform(from_int16(samples[n].audio_waveforms_concat), WHISPER_SAMPLE_RATE) for n in names]
    embedded = zip(names, encoder.embed(clips), strict=True)
    return {name: found.vector for name, found in embedded if found.vector is not None}


def listen(
    rows: Sequence[SpokenRow],
    transcriber: Transcriber,
    encoder: SpeakerEncoder,
    voices: Mapping[str, Vector],
    num_voices: int,
) -> list[HeardRow]:
    """Each row is compared with its own voice and the `num_voices` - 1 that follow it in `voices`.

    A row without audio counts as one in which nothing was said.
    """
    spoken = [i for i, row in enumerate(rows) if row.audio is not None and len(row.audio.samples) > 0]
    clips = [clip for row in (rows[i] for i in spoken) if (clip := row.audio) is not None]
    transcripts = transcriber.transcribe(clips, [rows[i].language for i in spoken])
    texts = {i: transcript.text or "" for i, transcript in zip(spoken, transcripts, strict=True)}
    vectors = {i: found.vector for i, found in zip(spoken, encoder.embed(clips), strict=True)}
    names = list(voices)
    heard = []
    for i, row in enumerate(rows):
        normalizer = normalizer_for(row.language)
        reference, hypothesis = normalizer(row.text), normalizer(texts.get(i, ""))
        vector, own = vectors.get(i), names.index(row.voice) if row.voice in voices else None
        right, wrong = None, tuple[float, ...]()
        if vector is not None and own is not None:
            around = [names[(own + j) % len(names)] for j in range(min(num_voices, len(names)))]
            right, *others = [cosine(voices[name], vector) for name in around]
            wrong = tuple(others)
        words = word_errors(reference, hypothesis)
        heard.append(HeardRow(row, hypothesis, words, char_errors(reference, hypothesis), right, wrong))
    return heard


def best_of(takes: Sequence[Sequence[HeardRow]]) -> list[HeardRow]:
    """Of several takes of the same rows the one with the fewest wrong characters each."""
    return [min(row, key=lambda take: _errors(take.chars)) for row in zip(*takes, strict=True)]


def summary(heard: Sequence[HeardRow]) -> dict[str, Any]:
    """Rates over all rows; `identified` is the share whose own voice is nearer than every other.

    `wer` is all errors over all words, `wer_macro` the mean of the rows' rates.
    """
    words = sum(row.words.reference_length for row in heard)
    chars = sum(row.chars.reference_length for row in heard)
    compared = [(row.right, row.wrong) for row in heard if row.right is not None and row.wrong]
    margins = [right - float(np.mean(wrong)) for right, wrong in compared]
    seconds = [row.row.audio.duration_s for row in heard if row.row.audio is not None]
    return {
        "rows": len(heard),
        "silent": len(heard) - len(seconds),
        "wer": sum(_errors(row.words) for row in heard) / words,
        "wer_macro": float(np.mean([error_rate(row.words) or 0.0 for row in heard])),
        "cer": sum(_errors(row.chars) for row in heard) / chars,
        "similarity": _mean([right for right, _ in compared]),
        "right_minus_wrong": _mean(margins),
        "identified": _mean([float(right > max(wrong)) for right, wrong in compared]),
        "finished": _mean([float(row.row.finished) for row in heard]),
        "seconds": _mean(seconds),
    }


def _errors(counts: ErrorCounts) -> int:
    return counts.substitutions + counts.deletions + counts.insertions


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
