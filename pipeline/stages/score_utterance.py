"""hypothesis and texts -> WER and CER with their counts, prompt echo, and the pace of the speech."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from pipeline.engine.dialogue import spoken_text
from pipeline.languages import primary_subtag
from pipeline.metrics.error_rates import char_errors, error_rate, word_errors
from pipeline.metrics.gates import length_ratio
from pipeline.metrics.normalizers import Normalizer, normalizer_for
from pipeline.metrics.published import HeardBy
from pipeline.records import Row
from pipeline.stages.each_row import each_row

STAGE = "score_utterance"
PROTOCOL = "voicemill/2"  # our normalisers, per-utterance rates, counts kept


def score_utterances(rows: Sequence[Row], heard_by: HeardBy, quality_model: str = "none") -> list[Row]:
    """`heard_by` and `quality_model` are what stands beside every number.

    The pace needs the columns of `measure_audio`, the length ratio `prompt_speech_s` and the prompt's text.
    """

    def score(row: Row) -> Row:
        normalizer = normalizer_for(row["language"])
        made = row | {
            **_decoded(heard_by, row["language"]),
            "transcriber": heard_by.transcriber,
            "speaker_encoder": heard_by.speaker_encoder,
            "quality_model": quality_model,
            "normalizer": normalizer.id,
            "protocol": PROTOCOL,
        }
        return made | _pace(row) | _errors(row, normalizer)

    return each_row(rows, STAGE, score)


def _decoded(heard_by: HeardBy, language: str) -> Row:
    if heard_by.transcriber == "none":
        return {}
    asr = heard_by.asr(primary_subtag(language))
    return {"transcriber_dtype": asr.dtype, "transcriber_decoding": asr.decoding}


def _errors(row: Row, normalizer: Normalizer) -> Row:
    if row.get("hypothesis") is None:
        return {}
    reference, hypothesis = normalizer(spoken_text(row["target_text"])), normalizer(row["hypothesis"])
    words = word_errors(reference, hypothesis)
    chars = char_errors(reference, hypothesis, spaces=normalizer.unit == "word")
    return {
        "wer": error_rate(words),
        "wer_substitutions": words.substitutions,
        "wer_deletions": words.deletions,
        "wer_insertions": words.insertions,
        "wer_reference_words": words.reference_length,
        "cer": error_rate(chars),
        "cer_substitutions": chars.substitutions,
        "cer_deletions": chars.deletions,
        "cer_insertions": chars.insertions,
        "cer_reference_chars": chars.reference_length,
        "target_text_normalized": reference,
        "hypothesis_normalized": hypothesis,
        "prompt_echo_wer": _prompt_echo(_prompt_text(row), hypothesis, normalizer),
        "compression_ratio": _compression_ratio(row["hypothesis"]),
    }


def _compression_ratio(text: str) -> float | None:
    """As in openai-whisper's utils.py, of the whole text; None where there is none."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else None


def _prompt_echo(prompt_text: str, hypothesis: str, normalizer: Normalizer) -> float | None:
    """WER of the hypothesis against the prompt's text (CER where characters are the unit).

    Near 0 the model has read the reference aloud; None without words in the prompt's text.
    """
    prompt = normalizer(prompt_text)
    if not prompt:
        return None
    if normalizer.unit == "char":
        return error_rate(char_errors(prompt, hypothesis, spaces=False))
    return error_rate(word_errors(prompt, hypothesis))


def _pace(row: Row) -> Row:
    """Both from the first to the last speech, pauses included: silence at the ends has its own columns."""
    if row.get("leading_silence_s") is None:
        return {}
    spoken_s = row["duration_s"] - row["leading_silence_s"] - row["trailing_silence_s"]
    chars = _written(spoken_text(row["target_text"]))
    ratio = length_ratio(spoken_s, chars, row.get("prompt_speech_s") or 0.0, _written(_prompt_text(row)))
    return {"chars_per_s": chars / spoken_s if spoken_s > 0 else None, "length_ratio": ratio}


def _prompt_text(row: Row) -> str:
    return row.get("prompt_text") or row.get("prompt_text_heard") or ""


def _written(text: str) -> int:
    """Characters without whitespace."""
    return len("".join(text.split()))
