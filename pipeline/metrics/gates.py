"""Gates: what a take must be to pass, by language, and why one does not.

Limits are relative to what the transcriber can hear in that language, so there is no set of numbers that is
right everywhere (reference/evaluation.md, section 6): a limit that is None does not judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.errors import ConfigError
from pipeline.metrics.normalizers import normalizer_for

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """What passes: rates and ratios are fractions, both ends included, None for no limit.

    `max_wer` is of the language's unit: where characters are the words (zh, ja, ko, th) it limits the CER, as
    Seed-TTS calls it, unless `max_cer` is given. `length_ratio` is the duration over the one expected
    (`length_ratio`). `finish_reasons` are those that pass; empty lets all. `unscored_fails` makes a limit on
    a value that the row lacks a reason: by default it is none, since another take will not teach the
    transcriber its language.
    """

    max_wer: float | None = None
    max_cer: float | None = None
    min_similarity: float | None = None
    min_length_ratio: float | None = None
    max_length_ratio: float | None = None
    max_leading_silence_s: float | None = None
    max_trailing_silence_s: float | None = None
    min_speech_ratio: float | None = None
    finish_reasons: frozenset[str] = frozenset({"eos"})
    unscored_fails: bool = False

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name.startswith(("min_", "max_")) and value is not None and not math.isfinite(value):
                raise ConfigError(f"gates.{each.name}: {value} is no limit; give a number or leave it out")
        low, high = self.min_length_ratio, self.max_length_ratio
        if low is not None and high is not None and low > high:
            raise ConfigError(f"gates.min_length_ratio: {low} is over max_length_ratio, {high}")


@dataclass(frozen=True, slots=True)
class GateLimits:
    """Limits by language: the whole tag first (`pt-BR`), then its primary subtag, then the default.

    A language's limits stand alone; nothing of the default is mixed in.
    """

    default: Limits = field(default_factory=Limits)
    languages: Mapping[str, Limits] = field(default_factory=dict)

    def of(self, language: str) -> Limits:
        """The limits of a BCP-47 tag, whatever its case, with - or _."""
        by_tag = {_tag(name): limits for name, limits in self.languages.items()}
        tag = _tag(language)
        return by_tag.get(tag, by_tag.get(tag.split("-")[0], self.default))


# column, limit, whether it is an upper one; the order is that of the reasons
_CHECKS = (
    ("wer", "max_wer", True),
    ("cer", "max_cer", True),
    ("similarity", "min_similarity", False),
    ("length_ratio", "min_length_ratio", False),
    ("length_ratio", "max_length_ratio", True),
    ("leading_silence_s", "max_leading_silence_s", True),
    ("trailing_silence_s", "max_trailing_silence_s", True),
    ("speech_ratio", "min_speech_ratio", False),
)


def gate(row: Row, limits: Limits) -> tuple[str, ...]:
    """Why a scored take does not pass, none if it does: `code: detail`, where the code is the column.

    A failed row has the one reason `failed: <error_code>`. A value that is not a number never passes.
    """
    if row.get("failed_stage") is not None or row.get("status") == "failed":
        return (f"failed: {row.get('error_code') or 'unknown'}",)
    reasons = []
    if limits.finish_reasons and row.get("finish_reason") not in limits.finish_reasons:
        said = row.get("finish_reason")
        if said is not None or limits.unscored_fails:
            reasons.append(f"finish_reason: {said or 'unknown'}")
    by_char = normalizer_for(row.get("language") or "und").unit == "char"
    for column, name, upper in _CHECKS:
        limit = getattr(limits, name)
        if name == "max_wer" and by_char:
            # a Chinese sentence is one word: its WER is 0 or 1
            column, limit = "cer", limit if limits.max_cer is None else None
        if limit is None:
            continue
        value = row.get(column)
        if value is None:
            missing = f"{column}: not measured"
            if limits.unscored_fails and missing not in reasons:
                reasons.append(missing)
        elif not (value <= limit if upper else value >= limit):
            reasons.append(f"{column}: {value:.4g} is {'over' if upper else 'under'} {limit:g}")
    return tuple(reasons)


def reason_code(reason: str) -> str:
    """What reasons are counted and filtered by: `wer` of `wer: 0.5 is over 0.3`."""
    return reason.partition(":")[0]


def length_ratio(
    duration_s: float, target_chars: int, prompt_duration_s: float, prompt_chars: int
) -> float | None:
    """Duration over the one that the prompt's speaking rate would give the text.

    = (duration / target characters) / (prompt duration / prompt characters), all without whitespace;
    1 is the prompt's own pace. None where one of the last three is not over 0.
    """
    if target_chars <= 0 or prompt_chars <= 0 or prompt_duration_s <= 0:
        return None
    return (duration_s / target_chars) / (prompt_duration_s / prompt_chars)


def _tag(language: str) -> str:
    return language.replace("_", "-").lower()
