"""The names of a manifest's columns, and what one is told about a name that is not among them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache

MAX_SPEAKERS = 4  # of a dialogue, SPEAKER0 included
VOICE_FIELDS = ("ref", "ref_text", "voice_description")  # of SPEAKER0; those of the others: `ref_speaker1`
# canonical field -> the other names it goes by. Absent on purpose: `transcript` (of the reference or of
# the target?), `name` (of the row or of the speaker?).
FIELDS: dict[str, tuple[str, ...]] = {
    "id": ("utterance_id", "utt", "utt_id", "custom_id", "customid"),
    "ref": ("ref_audio", "ref_wav", "prompt_audio", "prompt_wav", "reference", "reference_audio"),
    "text": ("target_text", "infer_text", "gen_text", "sentence"),
    "ref_text": ("prompt_text", "reference_text", "ref_transcript", "prompt_transcript"),
    "language": ("language_id", "lang", "locale"),
    "seed": (),
    "scene": ("scene_description",),
    "speaker": ("speaker_id", "speaker_name"),
    "max_duration_s": ("max_duration", "duration", "duration_s"),
    "temperature": (),
    "top_p": (),
    "top_k": (),
    "consent_id": (),
    "audio": ("audio_path", "audio_filepath", "generated_audio", "infer_wav"),
    "ground_truth": ("ground_truth_audio", "gt_audio", "gt_wav"),
    "category": (),
    "follows": (),
    "voice_description": (),
    **{f"{name}_speaker{number}": () for number in range(1, MAX_SPEAKERS) for name in VOICE_FIELDS},
}
# columns of other tools' manifests that look like a misspelt field and are not
UNUSED_COLUMNS = frozenset({"speed", "ground_truth_text"})
_CANONICAL = {name: canonical for canonical, names in FIELDS.items() for name in (canonical, *names)}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one row. `code` is stable snake_case; `message` says what to do."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """`fields[i]` is the canonical name of column i, or None where it is not read."""

    fields: tuple[str | None, ...]
    ignored: tuple[str, ...]
    faults: tuple[Fault, ...]


@lru_cache(maxsize=1024)  # JSONL asks again for every row
def map_columns(names: tuple[str, ...], also: tuple[str, ...] = ()) -> ColumnMap:
    """Column names or JSON keys to canonical fields, and to `also`; case, spaces and hyphens do not matter.

    Faults: `duplicate_field` (two names of one field), `unknown_field` (not a name, but close to that of
    a field which is not there: a misspelling, or it would be dropped in silence).
    """
    plain = [re.sub(r"[\s-]+", "_", name.strip()).lower() for name in names]
    known = _CANONICAL | dict(zip(also, also, strict=True))
    fields = tuple(known.get(name) for name in plain)
    faults, ignored = [], []
    for canonical in dict.fromkeys(name for name in fields if name):
        same = [name for name, found in zip(names, fields, strict=True) if found == canonical]
        if len(same) > 1:
            columns = " and ".join(f"'{name}'" for name in same)
            faults.append(Fault("duplicate_field", f"{columns} both mean '{canonical}'. Keep one of them."))
    absent = [name for name, canonical in known.items() if canonical not in fields]
    for name, key in zip(names, plain, strict=True):
        if key in known:
            continue
        # three letters are within one edit of too much (uid, idx)
        judged = len(key) > 3 and key not in UNUSED_COLUMNS
        close = difflib.get_close_matches(key, absent, n=1, cutoff=0.8) if judged else []
        if close:
            message = f"unknown column '{escape(name)}'; did you mean '{close[0]}'? Rename or drop it."
            faults.append(Fault("unknown_field", message))
        else:
            ignored.append(name)
    return ColumnMap(fields, tuple(ignored), tuple(faults))


def is_text(value: str) -> bool:
    """No lone surrogates: neither bytes that were not UTF-8, nor half a pair from a JSON escape."""
    return value.isascii() or not re.search("[\ud800-\udfff]", value)


def escape(value: str) -> str:
    if is_text(value) and "\0" not in value:
        return value
    return value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
