"""Cues as rows of a run, and a run's results as takes of cues."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

from pipeline.dubbing.fit import Take
from pipeline.metrics.normalizers import normalizer_for
from pipeline.programme.references import Reference
from pipeline.programme.subtitles import Cue
from pipeline.records import Row
from pipeline.results import has_audio, iter_results
from pipeline.stages.check_request import MAX_DURATION_S, normalize_text

COLUMNS = [
    *("utterance_id", "status", "language", "gate", "gate_reasons", "error_code", "error_message"),
    *("wer", "cer", "similarity", "duration_s", "leading_silence_s", "trailing_silence_s", "model"),
]
# what is kept of the silence around speech: a soft consonant may be under the detector's threshold
_MARGIN_S = 0.05
_ASIDE = re.compile(r"\[[^\[\]]*\]|\([^()]*\)")


@dataclass(frozen=True, slots=True)
class Line:
    """A cue with words. `content` names what is said by whom, and which of several such lines it is: a cue
    that moves, or changes its number, is the same line."""

    cue: Cue
    reference: Reference
    content: str


def is_speakable(text: str) -> bool:
    """Whether a letter or a digit is in it, outside of brackets and parentheses: a line of notes has none,
    nor has `[door slams]`."""
    return any(unicodedata.category(char)[0] in "LN" for char in _ASIDE.sub("", text))


def lines_of(cues: Sequence[tuple[Cue, Reference]]) -> list[Line]:
    """Of cues that have words, in their order."""
    lines = []
    seen: Counter[str] = Counter()
    for cue, reference in cues:
        said = json.dumps([normalize_text(cue.text), cue.speaker, *astuple(reference)])
        seen[said] += 1
        content = _digest(f"{said}#{seen[said]}")
        lines.append(Line(cue, reference, content))
    return lines


def take_ids(content: str, takes: int, limit_s: float | None) -> list[str]:
    """The ids of a line's takes; those under another frame limit are others."""
    name = content if limit_s is None else _digest(f"{content} within {limit_s}")
    return [f"{name}-{take}" for take in range(1, takes + 1)]


def manifest_bytes(wanted: Iterable[tuple[Line, float | None]], takes: int, folder: str) -> bytes:
    """JSONL: a row for each take of each line, with its limit in seconds. `folder` is that of the dub."""
    rows = [
        {
            "id": utterance_id,
            "ref": f"{folder}{line.reference.key}",
            "ref_text": line.reference.text,
            "text": line.cue.text,
            "speaker": line.cue.speaker,
            "consent_id": line.reference.consent_id,
            "max_duration_s": None if limit_s is None else min(limit_s, MAX_DURATION_S),
        }
        for line, limit_s in wanted
        for utterance_id in take_ids(line.content, takes, limit_s)
    ]
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


def read_takes(run_uri: str) -> tuple[dict[str, Take], dict[str, str]]:
    """A run's rows by id: the takes there is sound of, and of all others why there is none."""
    takes: dict[str, Take] = {}
    faults: dict[str, str] = {}
    for table in iter_results(run_uri, COLUMNS):
        for row in table.to_pylist():
            if row["status"] == "ok" and row["duration_s"]:
                takes[row["utterance_id"]] = take_of(row)
            else:
                reasons = "; ".join(row["gate_reasons"] or ())
                fault = f"{row['error_code']}: {row['error_message']}" if row["error_code"] else reasons
                faults[row["utterance_id"]] = fault or "no sound"
    return takes, faults


def read_sound(run_uri: str, wanted: Mapping[str, object]) -> Iterable[tuple[str, bytes]]:
    """(id, FLAC bytes) of the wanted rows, a shard of them in memory at a time."""
    for table in iter_results(run_uri, ["utterance_id", "audio"]):
        for row in table.to_pylist():
            if row["utterance_id"] in wanted and has_audio(row["audio"]):
                yield row["utterance_id"], row["audio"]["bytes"]


def take_of(row: Row) -> Take:
    duration_s = row["duration_s"]
    leading_s, trailing_s = row["leading_silence_s"] or 0.0, row["trailing_silence_s"] or 0.0
    start_s, end_s = max(leading_s - _MARGIN_S, 0.0), duration_s - max(trailing_s - _MARGIN_S, 0.0)
    if leading_s + trailing_s >= duration_s:  # nothing in it is taken for speech
        start_s, end_s = 0.0, duration_s
    by_char = normalizer_for(row["language"] or "und").unit == "char"
    return Take(
        row["utterance_id"],
        start_s,
        end_s,
        passed=row["gate"] in (None, "passed"),
        error_rate=_measured(row["cer" if by_char else "wer"]),
        similarity=_measured(row["similarity"]),
        reasons=tuple(row["gate_reasons"] or ()),
        silence_s=round(duration_s - (end_s - start_s), 6),
        model=row["model"],
    )


def _measured(value: float | None) -> float | None:
    """None for NaN, which compares with nothing and which JSON cannot say."""
    return None if value is None or math.isnan(value) else value


def _digest(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()[:16]
