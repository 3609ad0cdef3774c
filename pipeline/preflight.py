"""Everything that can be known of a manifest before a GPU starts: rows in, planned rows and a report out.

Streams: what is held is one chunk of rows, one verdict per distinct reference, and the report's counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from pipeline.config import RunConfig
from pipeline.consent import ConsentRules, load_consent
from pipeline.engine.frame_budget import estimate_duration_s
from pipeline.errors import ManifestError, RowError, StorageError
from pipeline.manifest import UNREADABLE, Fault, read_manifest
from pipeline.records import PLANNED_ROW, Row
from pipeline.stages.check_prompt import PromptLimits, check_prompt
from pipeline.stages.check_request import CheckedRow, RequestChecker
from pipeline.stages.load_prompt import load_prompt, prompt_id
from pipeline.storage import open_uri
from pipeline.uri_rules import rules_of
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


class Preflight:
    """Checks one manifest. `rows()` may be walked more than once; references are read once."""

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
        self._limits = PromptLimits(min_duration_s=check.min_prompt_s, max_duration_s=check.max_prompt_s)
        self._verdicts: dict[str, PromptVerdict] = {}

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
                self._look_at_prompts(chunk, pool)
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

    def _look_at_prompts(self, chunk: Sequence[CheckedRow], pool: ThreadPoolExecutor) -> None:
        given = {row.values["prompt_audio"] for row in chunk} - {None} - self._verdicts.keys()
        for uri, verdict in zip(given, pool.map(self._look_at, given), strict=True):
            self._verdicts[uri] = verdict

    def _look_at(self, given: str) -> PromptVerdict:
        uri = given
        try:
            uri = resolve_uri(self.manifest_uri, given)
            loaded = load_prompt(uri, self.config.check.max_prompt_bytes, self._rules)
            checked = check_prompt(loaded.data, self._limits)
        except RowError as error:
            return PromptVerdict(uri, None, (Fault(error.code, f"reference: {error.message}"),))
        faults = tuple(Fault(fault.code, f"reference: {fault.message}") for fault in checked.faults)
        return PromptVerdict(uri, loaded.audio_sha256, faults)

    def _planned(self, checked: CheckedRow) -> Row:
        row: Row = {**dict.fromkeys(PLANNED_ROW.names), **checked.values}
        faults = list(checked.faults)
        if (fault := self._consent.fault(row["consent_id"])) is not None:
            faults.append(fault)
        if row["prompt_audio"] is not None:
            verdict = self._verdicts[row["prompt_audio"]]
            row["prompt_audio"] = verdict.uri
            # the request check has named a scheme that may not be read already
            faults += [
                fault for fault in verdict.faults if fault.code not in {f.code for f in checked.faults}
            ]
            if verdict.audio_sha256 is not None and not faults:
                row["prompt_id"] = prompt_id(verdict.audio_sha256, row["prompt_text"], row["language"])
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
            self.report.voices.add(row["prompt_id"] or "")
            self.report.speech_s += estimate_duration_s(row["target_text"], row["language"])
        return row


def _message(faults: Sequence[Fault]) -> str:
    if len(faults) == 1:
        return faults[0].message
    return "; ".join(f"{fault.code}: {fault.message}" for fault in faults)
