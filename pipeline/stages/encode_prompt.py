"""Reference bytes -> SpeakerPrompt: codes, 16 kHz waveform, transcript, speaker embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pipeline.audio import WHISPER_SAMPLE_RATE, Waveform, from_int16, resample, to_int16
from pipeline.codecs.base import Codec
from pipeline.decoding import decode_untrusted
from pipeline.errors import RowError
from pipeline.evaluators.base import SpeakerEncoder, Transcriber
from pipeline.metrics.silence import spoken_s
from pipeline.records import Row, SpeakerPrompt
from pipeline.stages.check_prompt import GROUND_TRUTH_LIMITS
from pipeline.stages.load_prompt import NO_TRANSCRIPT

PromptLookup = Callable[[str], SpeakerPrompt]
_VOICES_IN_MEMORY = 256


@dataclass(frozen=True, slots=True)
class ReferenceClip:
    prompt_id: str
    prompt_text: str | None
    language: str
    waveform: Waveform

    @property
    def is_ground_truth(self) -> bool:
        return self.prompt_text == NO_TRANSCRIPT


def reference_clip(
    prompt_id: str, prompt_text: str | None, language: str, data: bytes, max_duration_s: float
) -> ReferenceClip:
    """`max_duration_s` is of voices; a ground truth has a limit of its own.

    Raises the RowErrors of `decode_untrusted`.
    """
    longest_s = GROUND_TRUTH_LIMITS.max_duration_s if prompt_text == NO_TRANSCRIPT else max_duration_s
    waveform = decode_untrusted(data, longest_s)
    return ReferenceClip(prompt_id, prompt_text, language, waveform)


def encode_prompts(
    clips: Sequence[ReferenceClip],
    codec: Codec | None,
    speaker_encoder: SpeakerEncoder | None,
    transcriber: Transcriber | None,
) -> list[SpeakerPrompt | RowError]:
    """One output per clip, in order. Without a codec (scoring alone) the codes are empty, [0, 0].

    Of a ground truth, which is only compared with, the codes and the waveform are empty.
    """
    waveforms = [clip.waveform for clip in clips]
    codes = [np.zeros((0, 0), np.uint16) for _ in clips]
    if codec is not None:
        voices = [i for i, clip in enumerate(clips) if not clip.is_ground_truth]
        resampled = [resample(waveforms[i], codec.sample_rate) for i in voices]
        for i, voice_codes in zip(voices, codec.encode(resampled) if voices else [], strict=True):
            codes[i] = voice_codes
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
                waveform=_kept_waveform(clip),
                duration_s=clip.waveform.duration_s,
                embedding=embedding,
            )
        )
    return encoded


def _kept_waveform(clip: ReferenceClip) -> npt.NDArray[np.int16]:
    if clip.is_ground_truth:
        return np.zeros(0, np.int16)
    return to_int16(resample(clip.waveform, WHISPER_SAMPLE_RATE).samples)


def voice_lookup(prompt_of: PromptLookup) -> Callable[[Row], Row]:
    """Gives what a row's scores need of its voices: embeddings, and seconds from first to last speech.

    It raises what `prompt_of` raises of the row's reference or ground truth.
    """
    voice = lru_cache(_VOICES_IN_MEMORY)(lambda prompt_id: voice_columns(prompt_of(prompt_id)))

    def columns(row: Row) -> Row:
        found = {} if row["prompt_id"] is None else voice(row["prompt_id"])
        if (ground_truth := row.get("ground_truth_id")) is not None:
            found = found | {"ground_truth_embedding": _embedding(prompt_of(ground_truth))}
        return found

    return columns


def voice_columns(prompt: SpeakerPrompt) -> Row:
    return {
        "prompt_embedding": _embedding(prompt),
        "prompt_speech_s": spoken_s(Waveform(from_int16(prompt.waveform), WHISPER_SAMPLE_RATE)),
    }


def _embedding(prompt: SpeakerPrompt) -> list[float] | None:
    return None if prompt.embedding is None else prompt.embedding.tolist()


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
