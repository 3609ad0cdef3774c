"""The heard segments as files to hand on: programmes, chapters, subtitles, and the report, written last."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.narration.cues import cues_of
from pipeline.narration.placing import place, sample_rate_of
from pipeline.narration.report import Report, report_of, settled_report
from pipeline.narration.rounds import Narration
from pipeline.narration.takes import Heard, keep_sounds
from pipeline.narration.writing import file_stem, write_sound
from pipeline.programme.subtitles import subtitles_bytes
from pipeline.programme.telling import Say, silent
from pipeline.storage import Store

REPORT = "report.json"
_EARLIER = "replaced.json"  # while a programme is written: the files of the one before
_VERSION = 2  # of what is made of the same takes


def assemble(narration: Narration, heard: Sequence[Heard], say: Say = silent) -> Report:
    """What is whole already is left as it is. With segments missing, and where the job says `stop`, only the
    report is written. Raises ConfigError, StorageError."""
    store, options = narration.store, narration.options
    made_of = _fingerprint(narration, heard)
    if (done := settled_report(store, REPORT, made_of)) is not None:
        return done
    before = _earlier_files(store)
    rate = sample_rate_of(heard)
    is_missing = any(each.take is None for each in heard)
    if rate is None or (is_missing and options.missing == "stop"):
        _remove(store, [*before, _EARLIER])
        return _put_report(store, report_of(narration, heard, made_of))
    placed = place(heard, rate, options.gap_s)
    store.put(_EARLIER, json.dumps(before).encode())
    store.delete(REPORT)
    with tempfile.TemporaryDirectory(prefix="voicemill-") as folder:
        keep_sounds(narration, heard, Path(folder))
        loudness, files = write_sound(narration, placed, rate, Path(folder), say)
    cues = cues_of(placed, rate, narration.script.language)
    for format in options.subtitles:
        files.append(f"{file_stem(narration)}.{format}")
        store.put(files[-1], subtitles_bytes(cues, format))
    if others := [key for key in before if key not in files]:
        say(f"removed, as no part of this programme: {', '.join(others)}")
        _remove(store, others)
    report = report_of(narration, heard, made_of, placed=placed, sample_rate=rate, loudness=loudness)
    _put_report(store, {**report, "files": files})
    store.delete(_EARLIER)
    return {**report, "files": files}


def _earlier_files(store: Store) -> list[str]:
    """Of the last programme, and of those before it that a call which was killed was to replace."""
    named = json.loads(store.get(REPORT))["files"] if store.exists(REPORT) else []
    return [*named, *(json.loads(store.get(_EARLIER)) if store.exists(_EARLIER) else [])]


def _fingerprint(narration: Narration, heard: Sequence[Heard]) -> str:
    takes = [
        [each.segment.id, each.segment.written, each.segment.pause_s, each.why]
        + ([each.take.round, each.take.id, each.take.values["codes_sha256"]] if each.take else [])
        for each in heard
    ]
    script = narration.script
    told = [_VERSION, narration.options.to_dict(), script.title, script.author, script.chapters, takes]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _remove(store: Store, keys: Sequence[str]) -> None:
    """Files of an earlier programme that are no part of this one."""
    for key in keys:
        store.delete(key)


def _put_report(store: Store, report: Report) -> Report:
    store.put(REPORT, json.dumps(report, ensure_ascii=False, indent=1).encode())
    return report
