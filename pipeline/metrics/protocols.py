"""Scoring protocols as data: everything that moves an error rate, under a name that can be published.

Two scores compare only if all of it is the same. Protocols that share their `Asr` share transcripts: one
that is kept can be scored under each of them (`ledger.py`). Source: the projects' papers and scoring scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipeline.errors import ConfigError
from pipeline.languages import primary_subtag
from pipeline.metrics.error_rates import char_errors, error_rate, word_errors
from pipeline.metrics.normalizers import Normalizer, Unit
from pipeline.metrics.protocol_normalizers import PROTOCOL_NORMALIZERS
from pipeline.records import ErrorCounts

Aggregate = Literal["macro", "micro"]
WHISPER_LARGE = "openai/whisper-large-v3"
# the UniSpeech ECAPA head over all hidden states of WavLM-large; no WavLMForXVector is it
SEED_SPEAKER_MODEL = "unispeech:wavlm_large_finetune"


@dataclass(frozen=True, slots=True)
class Asr:
    """What decides the transcript. Equal values mean that one transcript serves both.

    `decode` holds option and value; an empty string is the engine's default. `after` is what the script does
    to the transcript alone, never to the reference, and so belongs to whoever transcribes.
    """

    model: str
    engine: str
    dtype: str
    resampler: str
    decode: tuple[tuple[str, str], ...] = ()
    after: str | None = None

    @property
    def decoding(self) -> str:
        """All but model and dtype in one line: `engine=...; resampler=...; option=value; ...`."""
        said = [("engine", self.engine), ("resampler", self.resampler), *self.decode]
        said += [("after", self.after)] if self.after is not None else []
        return "; ".join(f"{name}={value}" for name, value in said)


@dataclass(frozen=True, slots=True)
class Protocol:
    """A named way to an error rate. `language` is the primary subtag it is for.

    `published` says whether its numbers may stand beside published ones of that name. `speaker_model` is what
    its similarities are made with, None where it has none.
    """

    name: str
    language: str
    asr: Asr
    normalizer: Normalizer
    unit: Unit
    aggregate: Aggregate
    published: bool = True
    speaker_model: str | None = None
    note: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ProtocolScore:
    """One utterance under one protocol. `rate` is a fraction, None where the reference is empty (see
    `error_rate`); texts as they were compared."""

    protocol: str
    normalizer: str
    unit: Unit
    reference: str
    hypothesis: str
    counts: ErrorCounts
    rate: float | None


def score_under(reference: str, hypothesis: str, protocol: Protocol) -> ProtocolScore:
    """WER or CER of one transcript: rate = (S + D + I) / N over the protocol's unit.

    An empty hypothesis is N deletions, rate 1. Whitespace is no character where characters are the unit.
    """
    said, heard = protocol.normalizer(reference), protocol.normalizer(hypothesis)
    counts = word_errors(said, heard) if protocol.unit == "word" else char_errors(said, heard, spaces=False)
    return ProtocolScore(
        protocol.name, protocol.normalizer.id, protocol.unit, said, heard, counts, error_rate(counts)
    )


def aggregated(scores: Sequence[ProtocolScore], aggregate: Aggregate) -> float | None:
    """The mean of rates (macro) or all errors over all units (micro), of the scores with something to say."""
    defined = [
        (score.rate, score.counts)
        for score in scores
        if score.rate is not None and score.counts.reference_length
    ]
    if aggregate == "macro":
        return sum(rate for rate, _ in defined) / len(defined) if defined else None
    units = sum(counts.reference_length for _, counts in defined)
    return sum(_errors(counts) for _, counts in defined) / units if units else None


def _errors(counts: ErrorCounts) -> int:
    return counts.substitutions + counts.deletions + counts.insertions


def whisper_by_transformers(
    model: str, language: str, resampler: str, *, batch: str, over_30_s: str, silence: str
) -> Asr:
    """Whisper decoded greedily in float32 by transformers, told the language (a primary subtag)."""
    options = (
        ("language", {"en": "english", "ar": "arabic", "zh": "chinese"}.get(language, language)),
        ("task", "transcribe"),
        ("num_beams", "1"),
        ("do_sample", "false"),
        ("batch", batch),
        ("over_30_s", over_30_s),
        ("silence", silence),
    )
    return Asr(model, "transformers", "float32", resampler, options)


def _whisper_of_scripts(language: str, resampler: str) -> Asr:
    """As published scripts have it: one clip at a time, cut at the window, silence shown like speech."""
    return whisper_by_transformers(
        WHISPER_LARGE, language, resampler, batch="1", over_30_s="cut", silence="transcribed"
    )


_PARAFORMER = Asr(
    "paraformer-zh", "funasr", "float32", "funasr", (("vad", "none"), ("punctuation", "none")), "zhconv:zh-cn"
)
_FASTER_WHISPER = Asr(
    WHISPER_LARGE, "faster-whisper", "float16", "pyav", (("language", "en"), ("beam_size", "5"))
)
_POCKETSPHINX = Asr("demo:pocketsphinx", "pocketsphinx", "float32", "voicemill")
_SEED_EN_ASR = _whisper_of_scripts("en", "scipy.signal.resample")
_AR_ASR = _whisper_of_scripts("ar", "voicemill")
_CV3_WORD_LANGUAGES = ("en", "de", "es", "fr", "it", "ru")
_CV3_CHAR_LANGUAGES = ("zh", "ja", "ko")


def _openai_whisper(language: str) -> Asr:
    # its defaults sample again at higher temperatures where a decode looks bad
    options = (("language", language), ("temperature", "0,0.2,0.4,0.6,0.8,1"))
    return Asr(WHISPER_LARGE, "openai-whisper", "float16", "ffmpeg", options)


def _protocol(
    name: str,
    asr: Asr,
    normalizer: str,
    aggregate: Aggregate = "macro",
    *,
    published: bool = True,
    speaker_model: str | None = None,
    note: str = "",
) -> Protocol:
    chosen = PROTOCOL_NORMALIZERS[normalizer]
    language = name.partition("/")[2]
    return Protocol(name, language, asr, chosen, chosen.unit, aggregate, published, speaker_model, note)


def _seed_like(name: str, asr: Asr, normalizer: str, note: str) -> Protocol:
    return _protocol(name, asr, normalizer, speaker_model=SEED_SPEAKER_MODEL, note=note)


def _cv3(language: str, normalizer: str) -> Protocol:
    asr = _PARAFORMER if language == "zh" else _openai_whisper(language)
    return _protocol(f"cv3/{language}", asr, normalizer, note="the script drops rows whose ASR fails")


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        _seed_like("seed-tts-eval/en", _SEED_EN_ASR, "seed_en", "30 s window; longer clips are cut"),
        _seed_like("seed-tts-eval/zh", _PARAFORMER, "seed_zh", "called WER there"),
        _seed_like("f5/en", _FASTER_WHISPER, "f5_en", "deletes apostrophes too"),
        _seed_like("f5/zh", _PARAFORMER, "f5_zh", "paraformer varies with the number of GPUs"),
        *(_cv3(language, "cv3_words") for language in _CV3_WORD_LANGUAGES),
        *(_cv3(language, "cv3_chars") for language in _CV3_CHAR_LANGUAGES),
        _protocol(
            "whisper-normalised/en",
            _SEED_EN_ASR,
            "whisper_en",
            published=False,
            note="a secondary view; without Whisper's table of British spellings",
        ),
        _protocol("ar_leaderboard/ar", _AR_ASR, "ar_leaderboard", "micro"),
        _protocol("ar_loose/ar", _AR_ASR, "ar_loose", "micro", published=False),
        _protocol("demo/en", _POCKETSPHINX, "en", published=False, note="never beside a published figure"),
    )
}


def protocol_named(name: str, language: str | None = None) -> Protocol:
    """The protocol of a full name (`f5/en`), or of a family and a BCP-47 language (`f5`, `en-GB`).

    A family with one language needs none. Raises ConfigError, which lists what there is.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    family = [protocol for key, protocol in PROTOCOLS.items() if key.partition("/")[0] == name]
    if not family:
        known = ", ".join(sorted({key.partition("/")[0] for key in PROTOCOLS}))
        raise ConfigError(f"{name}: no such scoring protocol; the ones there are: {known}")
    wanted = None if language is None else primary_subtag(language)
    if wanted is None and len(family) == 1:
        return family[0]
    for protocol in family:
        if protocol.language == wanted:
            return protocol
    have = ", ".join(protocol.language for protocol in family)
    said = "needs a language" if language is None else f"is not defined for {language}"
    raise ConfigError(f"{name}: this scoring protocol {said}; it has: {have}")


def sharing_asr(protocol: Protocol) -> list[Protocol]:
    """The shipped protocols, this one first, that a transcript made for `protocol` can be scored under."""
    others = (p for p in PROTOCOLS.values() if p.asr == protocol.asr and p.name != protocol.name)
    return [protocol, *others]
