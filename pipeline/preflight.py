"""Everything that can be known of a manifest before a GPU starts: rows in, planned rows and a report out.

Streams: what is held is one chunk of rows, one verdict per distinct reference, and the report's counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from pipeline.config import CheckConfig, RunConfig
from pipeline.consent import ConsentRules, load_consent
from pipeline.engine.dialogue import speaker_name
from pipeline.engine.frame_budget import estimate_duration_s
from pipeline.errors import ManifestError, RowError, StorageError
from pipeline.manifest import UNREADABLE, Fault, read_manifest
from pipeline.records import PLANNED_ROW, Row
from pipeline.stages.check_prompt import GROUND_TRUTH_LIMITS, PromptLimits, check_prompt
from pipeline.stages.check_request import CheckedRow, RequestChecker
from pipeline.stages.load_prompt import NO_TRANSCRIPT, load_prompt, prompt_id
from pipeline.storage import open_uri
from pipeline.uri_rules import UriRules, rules_of
from pipeline.uris import resolve_uri, shown

_CHUNK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class PromptVerdict:
    uri: str  # resolved, if it could be
    audio_sha256: str | None
    faults: tuple[Fault, ...]


@dataclass(slots=True)
class PreflightReport:
    rows: int = 0
    bad_rows: int = 0
    faults: Counter[str] = field(default_factory=Counter)  # by code; a row may have several
    voices: set[str] = field(default_factory=set)  # prompt ids of good rows
    speech_s: float = 0.0  # estimated length of what the good rows will say
    warnings: list[str] = field(default_factory=list)


def prompt_limits(check: CheckConfig) -> PromptLimits:
    """What a job's references are held to."""
    return PromptLimits(min_duration_s=check.min_prompt_s, max_duration_s=check.max_prompt_s)


def look_at_recording(
    uri: str, name: str, limits: PromptLimits, check: CheckConfig, rules: UriRules
) -> PromptVerdict:
    """Reads and measures one recording; `uri` is whole, `name` is what its faults call it."""
    try:
        loaded = load_prompt(uri, check.max_prompt_bytes, rules)
        checked = check_prompt(loaded.data, limits)
    except RowError as error:
        return PromptVerdict(uri, None, (Fault(error.code, f"{name}: {error.message}"),))
    faults = tuple(Fault(fault.code, f"{name}: {fault.message}") for fault in checked.faults)
    return PromptVerdict(uri, loaded.audio_sha256, faults)


class Preflight:
    """Checks one manifest. `rows()` may be walked more than once; what it names is read once."""

    def __init__(
        self, manifest_uri: str, config: RunConfig, *, format: str | None = None, task: str = "speak"
    ) -> None:
        self.manifest_uri = manifest_uri
        self.config = config
        self.report = PreflightReport()
        self._format = format
        self._required = ("audio", "text") if task == "score" else ("ref", "text")
        check = config.check
        self._rules = rules_of(check)
        consent = config.consent
        # sound that exists already is nobody's new voice
        speaks = task == "speak"
        self._consent = load_consent(consent.required, consent.revoked) if speaks else ConsentRules()
        # column of the recordings that are looked at -> what they are called, and held to
        self._recordings = {
            "prompt_audio": ("reference", prompt_limits(check)),
            "ground_truth_audio": ("ground truth", GROUND_TRUTH_LIMITS),
        }
        self._verdicts: dict[tuple[str, str], PromptVerdict] = {}

    def rows(self) -> Iterator[Row]:
        """PLANNED_ROW dicts in manifest order; bad rows have their fault columns filled."""
        self.report = PreflightReport()
        checker = RequestChecker(
            default_language=self.config.check.language,
            base_seed=self.config.sampling.seed,
            max_text_chars=self.config.check.max_text_chars,
            required=self._required,
        )
        threads = ThreadPoolExecutor(self.config.resources.check_threads)
        with self._open() as file, threads as pool:
            reader = read_manifest(file, shown(self.manifest_uri), self._format, required=self._required)
            checked = map(checker.check, reader)
            while chunk := list(islice(checked, _CHUNK_ROWS)):
                if not self.report.rows:
                    self._refuse_other_format(chunk)
                self._look_at_recordings(chunk, pool)
                for row in chunk:
                    yield self._planned(row)
            self.report.warnings += reader.warnings

    def _open(self) -> BinaryIO:
        try:
            return open_uri(self.manifest_uri)
        except (RowError, StorageError) as error:
            raise ManifestError(str(error)) from error

    def _refuse_other_format(self, chunk: Sequence[CheckedRow]) -> None:
        """Nothing but unreadable rows is a file of another format, and not worth a line for each."""
        if all(row.faults and row.faults[0].code in UNREADABLE for row in chunk):
            first = chunk[0].faults[0]
            raise ManifestError(
                f"{shown(self.manifest_uri)}: none of its first {len(chunk)} rows can be read "
                f"({first.code}: {first.message}); is it of another format? name it with --format"
            )

    def _look_at_recordings(self, chunk: Sequence[CheckedRow], pool: ThreadPoolExecutor) -> None:
        named = {(column, row.values[column]) for row in chunk for column in self._recordings}
        for row in chunk:
            named |= {("prompt_audio", voice["prompt_audio"]) for voice in row.values["voices"] or []}
        given = {each for each in named if each[1] is not None} - self._verdicts.keys()
        for each, verdict in zip(given, pool.map(self._look_at, given), strict=True):
            self._verdicts[each] = verdict

    def _look_at(self, given: tuple[str, str]) -> PromptVerdict:
        column, uri = given
        try:
            uri = resolve_uri(self.manifest_uri, uri)
        except RowError as error:
            return PromptVerdict(
                uri, None, (Fault(error.code, f"{self._recordings[column][0]}: {error.message}"),)
            )
        return look_at_recording(uri, *self._recordings[column], self.config.check, self._rules)

    def _planned(self, checked: CheckedRow) -> Row:
        row: Row = {**dict.fromkeys(PLANNED_ROW.names), **checked.values}
        faults = list(checked.faults)
        if (fault := self._consent.fault(row["consent_id"])) is not None:
            faults.append(fault)
        said = {fault.code for fault in checked.faults}
        sha256: dict[str, str | None] = {}
        for column in self._recordings:
            if row[column] is not None:
                verdict = self._verdicts[column, row[column]]
                row[column], sha256[column] = verdict.uri, verdict.audio_sha256
                # the request check has named a scheme that may not be read already
                faults += [fault for fault in verdict.faults if fault.code not in said]
        if row["voices"] is not None:
            faults += self._resolve_voices(row, checked.values["prompt_audio"], said)
        if row["audio_uri"] is not None:
            try:
                row["audio_uri"] = resolve_uri(self.manifest_uri, row["audio_uri"])
                self._rules.check(row["audio_uri"])
            except RowError as error:
                faults.append(Fault(error.code, f"audio: {error.message}"))
        self.report.rows += 1
        if faults:
            self.report.bad_rows += 1
            self.report.faults.update(fault.code for fault in faults)
            row["failed_stage"] = "check_request" if checked.faults else "check_prompt"
            row["error_code"] = faults[0].code
            row["error_message"] = _message(faults)
        else:
            if (prompt := sha256.get("prompt_audio")) is not None:
                row["prompt_id"] = prompt_id(prompt, row["prompt_text"], row["language"])
            if (ground_truth := sha256.get("ground_truth_audio")) is not None:
                row["ground_truth_id"] = prompt_id(ground_truth, NO_TRANSCRIPT, row["language"])
            self.report.voices.add(row["prompt_id"] or "")
            self.report.voices |= {prompt_id for prompt_id in row["voice_prompt_ids"] or [] if prompt_id}
            self.report.speech_s += estimate_duration_s(row["target_text"], row["language"])
        return row

    def _resolve_voices(self, row: Row, first: str | None, said: Collection[str]) -> list[Fault]:
        """Fills `voices` and `voice_prompt_ids`; gives the faults of all but the `first` reference."""
        voices, ids, faults = [], [], []
        for number, voice in enumerate(row["voices"]):
            uri = voice["prompt_audio"]
            verdict = None if uri is None else self._verdicts["prompt_audio", uri]
            voices.append(voice if verdict is None else voice | {"prompt_audio": verdict.uri})
            audio = None if verdict is None else verdict.audio_sha256
            ids.append(None if audio is None else prompt_id(audio, voice["prompt_text"], row["language"]))
            if verdict is not None and uri != first:
                faults += [
                    Fault(fault.code, f"{speaker_name(number)}: {fault.message}")
                    for fault in verdict.faults
                    if fault.code not in said
                ]
        row["voices"], row["voice_prompt_ids"] = voices, ids
        return faults


def _message(faults: Sequence[Fault]) -> str:
    if len(faults) == 1:
        return faults[0].message
    return "; ".join(f"{fault.code}: {fault.message}" for fault in faults)
