"""Gates: what a take must be to pass, by language, and why one does not.

Limits are relative to what the transcriber can hear in that language, so there is no set of numbers that is
right everywhere: a limit that is None does not judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.config import GatesConfig, Limits
from pipeline.metrics.figures import told_apart
from pipeline.metrics.normalizers import normalizer_for
from pipeline.records import is_failed

Row = Mapping[str, Any]


def limits_of(gates: GatesConfig, language: str | None) -> Limits:
    """Of a BCP-47 tag, whatever its case, with - or _: the whole tag's (`pt-BR`), its primary subtag's, else
    everybody's."""
    by_tag = {_tag(name): limits for name, limits in gates.languages.items()}
    tag = _tag(language or "und")
    return by_tag.get(tag, by_tag.get(tag.split("-")[0], gates))


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
    if is_failed(row):
        return (f"failed: {row.get('error_code') or 'unknown'}",)
    reasons = []
    ended = row.get("finish_reason") or ("unknown" if limits.unscored_fails else "eos")
    if limits.must_end and ended != "eos":
        reasons.append(f"finish_reason: {ended}")
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
            said, allowed = told_apart(value, limit)
            reasons.append(f"{column}: {said} is {'over' if upper else 'under'} {allowed}")
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
