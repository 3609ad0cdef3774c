"""Manifest row -> SynthesisRequest, or everything that is wrong with the row, at once. Pure.

The codes and limits are listed for users in manifests/README.md.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import langcodes

from pipeline.engine.dialogue import turns
from pipeline.errors import ConfigError, RowError
from pipeline.manifest import UNREADABLE, Fault, ManifestRow
from pipeline.records import REQUEST, Row, SynthesisRequest, request_of
from pipeline.stages.check_dialogue import (
    OTHER_VOICE_FIELDS,
    VOICES,
    num_voices,
    turn_faults,
    voice_faults,
    voices_of,
)
from pipeline.uris import allowed_scheme

__all__ = ["CheckedRow", "Fault", "RequestChecker", "derive_seed", "is_file_name", "normalize_text"]

MAX_SEED = 2**63 - 1
MAX_TOP_K = 2**31 - 1  # the column is an int32
MAX_TEMPERATURE = 5.0
MAX_DURATION_S = 600.0
# manifest field -> REQUEST column, where they differ
_COLUMNS = {
    "ref": "prompt_audio",
    "ref_text": "prompt_text",
    "text": "target_text",
    "audio": "audio_uri",
    "ground_truth": "ground_truth_audio",
}
_TEXT_FIELDS = tuple(
    dict.fromkeys(
        [
            "text",
            "ref_text",
            "scene",
            "speaker",
            "category",
            *(name for _, *texts in VOICES for name in texts),
        ]
    )
)
_URI_FIELDS = frozenset({"audio", "ground_truth", *(ref for ref, *_ in VOICES)})
_MAX_TAG_CHARS = 35  # what RFC 5646 asks readers to have room for
_MAX_URI_CHARS = 4096
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_WINDOWS_NAME = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """`request` if there are no faults, None otherwise.

    `utterance_id` is unique in the manifest in both cases: an id that cannot be used has `#` and a
    hash of the row behind it. `values` are the columns of REQUEST, so that a failed row can be written as
    well: what could not be read is null there, and shown by the fault's message. References are as written,
    not resolved.
    """

    row: int
    utterance_id: str
    request: SynthesisRequest | None
    values: Row
    faults: tuple[Fault, ...]


class RequestChecker:
    """Checks rows in the order of the manifest; remembers the ids it has seen, about 100 bytes each.

    default_language: of rows that name none. base_seed: what the seeds of rows without one come from.
    max_text_chars: of every text field, after normalisation.
    required: fields a row must have (`("audio", "text")` to score what exists already).
    Raises ConfigError if `default_language` is not a language tag.
    """

    def __init__(
        self,
        *,
        default_language: str = "en",
        base_seed: int = 0,
        max_text_chars: int = 2000,
        required: Collection[str] = ("ref", "text"),
    ) -> None:
        language = normalize_language(default_language)
        if language is None:
            what = f"language '{default_language}' is not a BCP 47 tag"
            raise ConfigError(f"{what}; write one such as en or zh-CN")
        self.required = required
        self._language = language
        self._base_seed = base_seed
        self._max_text_chars = max_text_chars
        self._first_row: dict[int, int] = {}
        self._marks: Counter[str] = Counter()

    def check(self, row: ManifestRow) -> CheckedRow:
        faults = list(row.faults)
        fields: dict[str, Any] = {}
        if any(fault.code in UNREADABLE for fault in faults):
            utterance_id = self._marked(row.values.get("id"), row)
        else:
            fields = self._fields(row.values, faults)
            faults.extend(self._follows_faults(fields))
            utterance_id = self._identify(row, fields, faults)
        values: Row = dict.fromkeys(REQUEST.names)
        apart = {"id", *OTHER_VOICE_FIELDS}
        values |= {_COLUMNS.get(name, name): value for name, value in fields.items() if name not in apart}
        if (voices := voices_of(fields)) is not None:
            first = next((voice for voice in voices if voice["prompt_audio"]), voices[0])
            values |= {name: first[name] for name in ("prompt_audio", "prompt_text")} | {"voices": voices}
        values |= {"row": row.row, "utterance_id": utterance_id}
        if not faults:
            values["language"] = values["language"] or self._language
            if values["seed"] is None:
                values["seed"] = derive_seed(self._base_seed, utterance_id)
        request = None if faults else request_of(values)
        return CheckedRow(row.row, utterance_id, request, values, tuple(faults))

    def _fields(self, raw: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
        """What was given, normalised. What could not be is a fault instead."""
        given = {name: value for name, value in raw.items() if not _is_blank(value)}
        known_bad = {fault.code for fault in faults}
        fields: dict[str, Any] = {}
        for name, value in given.items():
            if f"bad_{name}" in known_bad:  # the reader has said so
                continue
            try:
                fields[name] = self._parse(name, value)
            except RowError as error:
                faults.append(Fault(error.code, error.message))
        # what is to be spoken; a voice in a list of voices, or of what exists already, is another matter
        speaks = {"ref", "text"} <= {*self.required}
        for name in self.required:
            if name not in given and not (name == "ref" and speaks and "voice_description" in given):
                code = "empty_text" if name == "text" else f"missing_{name}"
                faults.append(Fault(code, f"'{name}' is empty; fill it or drop the row"))
        for name in _TEXT_FIELDS:
            if name in fields:
                faults.extend(self._text_faults(name, str(given[name]), fields[name]))
        if speaks:
            faults.extend(voice_faults(given))
            faults.extend(turn_faults(fields["text"], num_voices(given)) if "text" in fields else [])
        return fields

    @staticmethod
    def _parse(name: str, value: Any) -> Any:
        if name == "seed":
            return _integer(name, value, 0, MAX_SEED)
        if name == "top_k":
            return _integer(name, value, 1, MAX_TOP_K)
        if name == "temperature":
            return _number(name, value, MAX_TEMPERATURE)
        if name == "top_p":
            return _number(name, value, 1.0)
        if name == "max_duration_s":
            return _number(name, value, MAX_DURATION_S)
        may_be_number = name in ("id", "speaker", "category", "follows")
        if may_be_number and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise RowError(f"bad_{name}", f"'{name}' is of type {type(value).__name__}; write text")
        if name == "language":
            tag = normalize_language(value.strip()) if len(value) <= _MAX_TAG_CHARS else None
            if tag is None:
                what = f"language {_shown(value)} is not a BCP 47 tag"
                raise RowError("bad_language", f"{what}; write one such as en, en-GB or zh")
            return tag
        if name in _URI_FIELDS:
            return _checked_uri(name, value.strip())
        return normalize_text(value) if name in _TEXT_FIELDS else value.strip()

    def _text_faults(self, name: str, raw: str, text: str) -> list[Fault]:
        faults = []
        controls = set() if raw.isprintable() else {char for char in raw if _is_control(char)} - set("\t\n\r")
        if controls:
            codes = ", ".join(f"U+{ord(char):04X}" for char in sorted(controls)[:4])
            faults.append(Fault("text_control_characters", f"'{name}' holds {codes}; remove them"))
        start = text.find("<|")
        end = text.find("|>", start + 2)
        if 0 <= start < end:
            what = f"'{name}' holds {_shown(text[start : end + 2])}"
            faults.append(Fault("text_has_special_token", f"{what}, a command to the model; remove it"))
        if len(text) > self._max_text_chars:
            message = f"'{name}' has {len(text)} characters, at most {self._max_text_chars}; split the row"
            faults.append(Fault("text_too_long", message))
        silent = [turn for turn in turns(text) if not _has_words(turn.text)] if name == "text" else []
        if silent:
            message = f"no letter or digit in {_shown(str(silent[0]))}; write words or drop the row"
            faults.append(Fault("text_unspeakable", message))
        return faults

    def _follows_faults(self, fields: dict[str, Any]) -> list[Fault]:
        if "follows" not in fields or _id_key(fields["follows"]) in self._first_row:
            return []
        what = f"follows {_shown(fields['follows'])}, which is no row above it"
        return [Fault("unknown_follows", f"{what}; name the id of a row above, or leave it empty")]

    def _identify(self, row: ManifestRow, fields: dict[str, Any], faults: list[Fault]) -> str:
        given = fields.get("id")
        if given is not None and not is_file_name(given):
            rule = "use 1 to 128 of A-Z a-z 0-9 . _ -, starting with a letter or digit"
            faults.append(Fault("bad_id", f"id {_shown(given)} is not fit for a file name; {rule}"))
        if any(fault.code == "bad_id" for fault in faults):
            return self._marked(row.values.get("id"), row)
        if given is None and faults:  # what would be hashed is not all that was written
            return self._marked(None, row)
        utterance_id = given or _derived_id(fields)
        first = self._first_row.setdefault(_id_key(utterance_id), row.row)
        if first == row.row:
            return utterance_id
        what = f"id '{utterance_id}'" if given else "without an id, and with the same content,"
        remedy = "give it another" if given else "give it an id or a seed of its own"
        faults.append(Fault("duplicate_id", f"{what} is already row {first}; {remedy} or drop it"))
        return self._marked(utterance_id, row)

    def _marked(self, given: Any, row: ManifestRow) -> str:
        """An id that is not in use (`#` is in no valid one), and stays when rows are put in before it."""
        said = json.dumps([row.values, [fault.code for fault in row.faults]], sort_keys=True, default=repr)
        marked = f"{_printable(given) or 'utt'}#{hashlib.sha256(said.encode()).hexdigest()[:8]}"
        self._marks[marked] += 1
        return marked if self._marks[marked] == 1 else f"{marked}-{self._marks[marked]}"


def normalize_text(text: str) -> str:
    """NFC, every run of whitespace one space, none at the ends. Letters, case and marks stay."""
    return " ".join(unicodedata.normalize("NFC", text).split())


@lru_cache(maxsize=1024)
def normalize_language(tag: str) -> str | None:
    """A valid BCP 47 tag in its usual form (`EN_us` -> `en-US`), None for anything else."""
    plain = tag.replace("_", "-")
    return langcodes.standardize_tag(plain) if langcodes.tag_is_valid(plain) else None


def derive_seed(base_seed: int, utterance_id: str) -> int:
    """63 bits of sha256, from the run's seed and the row's id: rows may move, the voice stays."""
    digest = hashlib.sha256(f"{base_seed}:{utterance_id}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def is_file_name(name: str) -> bool:
    """Whether `name` is a portable stem of a file name; also not one of Windows' device names."""
    return bool(_ID.fullmatch(name)) and not name.endswith(".") and not _WINDOWS_NAME.fullmatch(name)


def _id_key(utterance_id: str) -> int:
    """60 bits of a hash: two of a million ids meet by chance in one of two million runs."""
    return int.from_bytes(hashlib.sha256(utterance_id.encode()).digest()[:8]) >> 4


def _derived_id(fields: dict[str, Any]) -> str:
    """From what the row says, not how: `0.7` in CSV and in JSON are one content. A label is no content."""
    canonical = json.dumps({n: value for n, value in fields.items() if n != "category"}, sort_keys=True)
    return "utt-" + hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _checked_uri(name: str, uri: str) -> str:
    if any(map(_is_control, uri)):
        raise RowError(f"bad_{name}", f"'{name}' holds control characters: {_shown(uri)}; remove them")
    if len(uri) > _MAX_URI_CHARS:
        raise RowError(
            f"bad_{name}", f"'{name}' has {len(uri)} characters, at most {_MAX_URI_CHARS} are read"
        )
    allowed_scheme(uri)
    return uri


def _integer(name: str, value: Any, least: int, most: int) -> int:
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,20}(\.0*)?\s*", value):
        number = int(value.strip().partition(".")[0])
    elif isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        number = int(value)  # a whole column becomes float where pandas met one empty cell
    if number is None or not least <= number <= most:
        rule = f"write a whole number from {least} to {most}"
        raise RowError(f"bad_{name}", f"{name} is {_shown(value)}; {rule}")
    return number


def _number(name: str, value: Any, most: float) -> float:
    number = math.nan
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
    if not 0 < number <= most:  # false for NaN, too
        raise RowError(f"bad_{name}", f"{name} is {_shown(value)}; write a number above 0, at most {most:g}")
    return number


def _has_words(text: str) -> bool:
    return any(unicodedata.category(char)[0] in "LN" for char in text)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) == "Cc"


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _printable(value: Any) -> str:
    text = "" if value is None else str(value)[:128]
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _shown(value: Any) -> str:
    text = _printable(value)
    return f"'{text[:60]}...'" if len(text) > 60 else f"'{text}'"
