"""What a data set is made from: texts and voices, checked by the rules of a manifest before any is drawn."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import PurePosixPath

from pipeline.config import CheckConfig
from pipeline.errors import ManifestError, RowError, StorageError
from pipeline.languages import primary_subtag
from pipeline.manifest import FORMATS, ManifestReader
from pipeline.metrics.normalizers import normalizer_for
from pipeline.records import Row
from pipeline.stages.check_request import CheckedRow, RequestChecker
from pipeline.storage import open_uri, resolve_uri
from pipeline.uris import shown

_FAULTS_SHOWN = 3
_NO_LANGUAGE = "und"
_LICENCE = ("licence", "license")


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence. `key` is the same for what sounds the same: primary language and normalised text."""

    text: str
    language: str
    key: str


@dataclass(frozen=True, slots=True)
class Voice:
    """One reference of a speaker. Without a language it speaks all; `ref` is a whole path or URI."""

    speaker: str
    ref: str
    ref_text: str | None = None
    language: str | None = None
    consent_id: str | None = None
    licence: str | None = None

    def speaks(self, language: str) -> bool:
        return self.language is None or primary_subtag(self.language) == primary_subtag(language)


@dataclass(frozen=True, slots=True)
class Texts:
    """Each text once, in the order of the list, and how many lines were left out for which reason."""

    texts: tuple[Text, ...]
    left_out: Counter[str]


def read_texts(uri: str, check: CheckConfig, languages: Collection[str] = ()) -> Texts:
    """A file of lines (`.txt`, or a suffix that is none of a manifest's), or CSV, JSONL, Parquet with `text`.

    Of texts that sound the same in one language the first is used. Raises ManifestError for a file that
    cannot be read, or in which nothing is left.
    """
    checker = RequestChecker(
        default_language=check.language, max_text_chars=check.max_text_chars, required=("text",)
    )
    format = FORMATS.get(PurePosixPath(uri).suffix.lower(), "txt")
    wanted = {primary_subtag(language) for language in languages}
    found: dict[str, Text] = {}
    left_out: Counter[str] = Counter()
    for row in _rows(uri, checker, ("text",), format):
        text, language = row.values["target_text"], row.values["language"]
        if row.faults:
            left_out[row.faults[0].code.replace("duplicate_id", "duplicate_text")] += 1
        elif wanted and primary_subtag(language) not in wanted:
            left_out["other_language"] += 1
        elif (key := f"{primary_subtag(language)}:{normalizer_for(language)(text)}") in found:
            left_out["duplicate_text"] += 1
        elif key.endswith(":"):
            left_out["text_unspeakable"] += 1
        else:
            found[key] = Text(text, language, key)
    if not found:
        if not left_out - Counter(empty_text=left_out["empty_text"]):
            raise ManifestError(f"no texts in {shown(uri)}; write at least one")
        reasons = ", ".join(f"{code} {count}" for code, count in left_out.most_common())
        raise ManifestError(f"{shown(uri)}: no text is left to speak ({reasons})")
    return Texts(tuple(found.values()), left_out)


def read_voices(uri: str, check: CheckConfig) -> tuple[Voice, ...]:
    """`ref` and `speaker`, and if known `ref_text`, `language`, `consent_id` and `licence` of each reference.

    Several references may be of one speaker. Raises ManifestError for rows that cannot be used, for a
    recording that is said to be two speakers', and for speakers whose names differ in case alone: one voice
    would stand on both sides of a split.
    """
    # a language that no voice names stands for none
    checker = RequestChecker(
        default_language=_NO_LANGUAGE, max_text_chars=check.max_text_chars, required=("ref", "speaker")
    )
    format = FORMATS.get(PurePosixPath(uri).suffix.lower())
    voices: list[Voice] = []
    faults: list[str] = []
    speaker_of: dict[str, str] = {}
    name_of: dict[str, str] = {}
    for row in _rows(uri, checker, ("ref", "speaker"), format):
        if row.faults:
            faults.append(f"row {row.row}: {row.faults[0].code}: {row.faults[0].message}")
            continue
        voice = _voice(uri, row)
        if (other := name_of.setdefault(voice.speaker.casefold(), voice.speaker)) != voice.speaker:
            faults.append(f"row {row.row}: {voice.speaker!r} and {other!r} differ in case alone; write one")
        elif (other := speaker_of.setdefault(voice.ref, voice.speaker)) != voice.speaker:
            faults.append(f"row {row.row}: {two_speakers(voice.speaker, other, voice.ref, voice.ref)}")
        voices.append(voice)
    if faults or not voices:
        raise bad_voices(uri, faults or ["no voices"])
    return tuple(voices)


def two_speakers(speaker: str, other: str, ref: str, other_ref: str) -> str:
    """The fault of a recording that is said to be `other`'s already, there under the name `other_ref`."""
    copied = "" if ref == other_ref else f", as {shown(other_ref)}"
    return f"{shown(ref)} is said to be of {speaker!r}, and is of {other!r} already{copied}"


def bad_voices(uri: str, faults: Sequence[str]) -> ManifestError:
    """The error that tells the first of the faults in a table of voices, and how many more there are."""
    more = f"; and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
    return ManifestError(f"{shown(uri)}: {'; '.join(faults[:_FAULTS_SHOWN])}{more}; fix the table of voices")


def digest(rows: Collection[Text] | Collection[Voice]) -> str:
    """16 hex digits over what is drawn from."""
    whole = hashlib.sha256()
    for row in rows:
        whole.update(repr(astuple(row)).encode("utf-8", "backslashreplace") + b"\n")
    return whole.hexdigest()[:16]


def _voice(uri: str, row: CheckedRow) -> Voice:
    values: Row = row.values
    try:
        ref = resolve_uri(uri, values["prompt_audio"])
    except RowError as error:
        raise ManifestError(f"{shown(uri)}: row {row.row}: {error.message}") from error
    licence = next((values[name] for name in _LICENCE if name in values), None)
    return Voice(
        speaker=values["speaker"],
        ref=ref,
        ref_text=values["prompt_text"],
        language=values["language"] if values["language"] != _NO_LANGUAGE else None,
        consent_id=values["consent_id"],
        licence=None if licence is None else str(licence),
    )


def _rows(
    uri: str, checker: RequestChecker, required: tuple[str, ...], format: str | None
) -> Iterator[CheckedRow]:
    try:
        with open_uri(uri) as file:
            reader = ManifestReader(file, shown(uri), format, required=required, also=_LICENCE)
            yield from map(checker.check, reader)
    except (RowError, StorageError) as error:
        raise ManifestError(str(error)) from error
