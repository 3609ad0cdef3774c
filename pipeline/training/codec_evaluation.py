"""What a codec keeps: words and voices after a round trip, by how many of its codebooks are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipeline.audio import Waveform
from pipeline.evaluators import SpeakerEmbedding, SpeakerEncoder, Transcriber
from pipeline.metrics.error_rates import word_errors
from pipeline.metrics.normalizers import normalizer_for
from pipeline.metrics.similarity import cosine
from pipeline.training.teacher import SAMPLE_RATE, draw_speaker, speak


@dataclass(frozen=True, slots=True)
class Heard:
    """`num_codebooks` is None for the original. WER of all words together, similarity to the original."""

    num_codebooks: int | None
    wer: float
    similarity: float


def held_out_clips(
    sentences: Sequence[str], first_speaker: int, speakers: int, seed: int
) -> list[tuple[Waveform, str]]:
    """Each sentence said by one of the speakers from `first_speaker` on, who take turns."""
    clips = []
    for i, text in enumerate(sentences):
        speaker = draw_speaker(first_speaker + i % speakers, seed)
        clips.append((speak(speaker, text).waveform, text))
    return clips


def listen(
    network: Any,
    clips: Sequence[tuple[Waveform, str]],
    codebooks: Sequence[int],
    transcriber: Transcriber,
    encoder: SpeakerEncoder,
    hop: int = 960,
) -> list[Heard]:
    """The original first, then the reconstruction from the first k codebooks for each k."""
    originals = [waveform for waveform, _ in clips]
    texts = [text for _, text in clips]
    voices = encoder.embed(originals)
    codes = [_codes(network, waveform, hop) for waveform in originals]
    report = [_heard(None, originals, voices, texts, transcriber, encoder)]
    for k in codebooks:
        decoded = [_decoded(network, c[:, :k], len(o.samples)) for c, o in zip(codes, originals, strict=True)]
        report.append(_heard(k, decoded, voices, texts, transcriber, encoder))
    return report


def _heard(
    num_codebooks: int | None,
    waveforms: list[Waveform],
    voices: list[SpeakerEmbedding],
    texts: list[str],
    transcriber: Transcriber,
    encoder: SpeakerEncoder,
) -> Heard:
    normal = normalizer_for("en")
    transcripts = transcriber.transcribe(waveforms, ["en"] * len(waveforms))
    counts = [
        word_errors(normal(text), normal(transcript.text or ""))
        for text, transcript in zip(texts, transcripts, strict=True)
    ]
    errors = sum(c.substitutions + c.deletions + c.insertions for c in counts)
    pairs = zip(encoder.embed(waveforms), voices, strict=True)
    # a reconstruction without a voice in it is as unlike as can be
    alike = [0.0 if a.vector is None or b.vector is None else cosine(a.vector, b.vector) for a, b in pairs]
    return Heard(num_codebooks, errors / sum(c.reference_length for c in counts), float(np.mean(alike)))


def _codes(network: Any, waveform: Waveform, hop: int) -> torch.Tensor:
    padded = np.pad(waveform.samples, (0, -len(waveform.samples) % hop))
    with torch.inference_mode():
        codes: torch.Tensor = network.encode(torch.from_numpy(padded)[None, None])[1]
    return codes


def _decoded(network: Any, codes: torch.Tensor, num_samples: int) -> Waveform:
    with torch.inference_mode():
        z = network.quantizer.from_codes(codes)
        # dac returns more beside it
        audio = network.decode(z[0] if isinstance(z, tuple) else z)
    return Waveform(audio[0, 0, :num_samples].numpy(), SAMPLE_RATE)
