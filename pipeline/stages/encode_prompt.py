"""Reference bytes -> SpeakerPrompt: codes, 16 kHz waveform, transcript, speaker embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.audio import WHISPER_SAMPLE_RATE, Waveform, from_int16, resample, to_int16
from pipeline.codecs.base import Codec
from pipeline.decoding import decode_untrusted
from pipeline.errors import RowError
from pipeline.evaluators.base import SpeakerEncoder, Transcriber
from pipeline.metrics.silence import spoken_s
from pipeline.records import Row, SpeakerPrompt


@dataclass(frozen=True, slots=True)
class ReferenceClip:
    prompt_id: str
    prompt_text: str | None
    language: str
    waveform: Waveform


def reference_clip(
    prompt_id: str, prompt_text: str | None, language: str, data: bytes, max_duration_s: float
) -> ReferenceClip:
    """Raises the RowErrors of `decode_untrusted`."""
    waveform = decode_untrusted(data, max_duration_s)
    return ReferenceClip(prompt_id, prompt_text, language, waveform)


def encode_prompts(
    clips: Sequence[ReferenceClip],
    codec: Codec | None,
    speaker_encoder: SpeakerEncoder | None,
    transcriber: Transcriber | None,
) -> list[SpeakerPrompt | RowError]:
    """One output per clip, in order. Without a codec (scoring alone) the codes are empty, [0, 0]."""
    waveforms = [clip.waveform for clip in clips]
    if codec is None:
        codes = [np.zeros((0, 0), np.uint16) for _ in clips]
    else:
        codes = codec.encode([resample(waveform, codec.sample_rate) for waveform in waveforms])
    embeddings = (
        [None] * len(clips)
        if speaker_encoder is None
        else [embedding.vector for embedding in speaker_encoder.embed(waveforms)]
    )
    transcripts = _transcripts(clips, transcriber if codec is not None else None)
    encoded: list[SpeakerPrompt | RowError] = []
    for clip, clip_codes, embedding, text in zip(clips, codes, embeddings, transcripts, strict=True):
        if text is None and codec is not None:
            encoded.append(
                RowError(
                    "prompt_text_unknown",
                    "no ref_text, and the transcriber heard no words; write what is said into ref_text",
                )
            )
            continue
        encoded.append(
            SpeakerPrompt(
                prompt_id=clip.prompt_id,
                prompt_text=text or "",
                codes=clip_codes,
                waveform=to_int16(resample(clip.waveform, WHISPER_SAMPLE_RATE).samples),
                duration_s=clip.waveform.duration_s,
                embedding=embedding,
            )
        )
    return encoded


def voice_columns(prompt: SpeakerPrompt) -> Row:
    """What a row's scores need of its reference: the embedding, and seconds from first to last speech."""
    return {
        "prompt_embedding": None if prompt.embedding is None else prompt.embedding.tolist(),
        "prompt_speech_s": spoken_s(Waveform(from_int16(prompt.waveform), WHISPER_SAMPLE_RATE)),
    }


def _transcripts(clips: Sequence[ReferenceClip], transcriber: Transcriber | None) -> list[str | None]:
    """The given transcripts, the missing ones filled by the run's transcriber."""
    missing = [clip for clip in clips if clip.prompt_text is None]
    heard: dict[str, str | None] = {}
    if missing and transcriber is not None:
        transcripts = transcriber.transcribe(
            [clip.waveform for clip in missing], [clip.language for clip in missing]
        )
        heard = {
            clip.prompt_id: transcript.text for clip, transcript in zip(missing, transcripts, strict=True)
        }
    return [
        clip.prompt_text if clip.prompt_text is not None else heard.get(clip.prompt_id) or None
        for clip in clips
    ]
