"""The folder of a data set: what is sampled, the run that speaks it, and the exports.

dataset.json     what the rows are sampled from, created once
manifest.jsonl   the sampled rows; it grows at its end only
run/             the run that speaks it, see run.py
<format>/        the exports
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import differences
from pipeline.dataset.plan import DatasetPlan
from pipeline.dataset.sampling import Draw
from pipeline.destination import open_destination
from pipeline.errors import RunConflictError
from pipeline.records import Row
from pipeline.storage import ObjectMissing, Store

RECORD = "dataset.json"
MANIFEST = "manifest.jsonl"
RUN = "run"


@dataclass(frozen=True, slots=True)
class DatasetFolder:
    store: Store

    @property
    def manifest_uri(self) -> str:
        return f"{self.store.uri}/{MANIFEST}"

    @property
    def run_uri(self) -> str:
        return f"{self.store.uri}/{RUN}"

    def taken(self) -> Counter[str]:
        """How many rows of each speaker the manifest has."""
        return Counter(row["speaker"] for row in self.rows())

    def rows(self) -> Iterator[Row]:
        try:
            lines = self.store.get(MANIFEST).splitlines()
        except ObjectMissing:
            return
        for line in lines:
            yield json.loads(line)

    def append(self, draws: Iterable[Draw], plan: DatasetPlan) -> int:
        """Puts rows at the manifest's end, in one step; returns how many those are."""
        lines = [json.dumps(manifest_row(draw, plan), ensure_ascii=False) + "\n" for draw in draws]
        if lines:
            before = self.store.get(MANIFEST) if self.store.exists(MANIFEST) else b""
            self.store.put(MANIFEST, before + "".join(lines).encode())
        return len(lines)


def look_at_dataset(uri: str, sampled_from: Mapping[str, Any]) -> Store:
    """The folder of a data set that is there or may be made; nothing is written.

    Raises RunConflictError for one whose rows were sampled from something else and spoken, or that holds
    other things; ConfigError for one that cannot be written to.
    """
    store = open_destination(uri)
    if not store.exists(RECORD):
        if (other := next(store.list(), None)) is not None:
            raise RunConflictError(f"{uri} holds {other} and no data set; name an empty or a new folder")
    elif next(store.list(RUN), None) is not None:
        _refuse_other(store, uri, _record(sampled_from))
    return store


def open_dataset(uri: str, sampled_from: Mapping[str, Any]) -> DatasetFolder:
    """Makes the folder or returns to it; while nothing has been spoken, the rows may be sampled anew.

    Raises as `look_at_dataset` does.
    """
    store, record = look_at_dataset(uri, sampled_from), _record(sampled_from)
    if store.exists(RECORD) and store.get(RECORD) != record and next(store.list(RUN), None) is None:
        store.delete(MANIFEST)
        store.put(RECORD, record)
    if not store.create(RECORD, record):
        _refuse_other(store, uri, record)
    return DatasetFolder(store)


def manifest_row(draw: Draw, plan: DatasetPlan) -> Row:
    """What `jobs.clone_voices` reads; fields without a value are left out."""
    voice, style = draw.voice, plan.style_shares[draw.style]
    row = {
        "id": draw.utterance_id,
        "ref": voice.ref,
        "ref_text": voice.ref_text,
        "text": draw.text.text,
        "language": draw.text.language,
        "speaker": voice.speaker,
        "scene": style.scene,
        "temperature": style.temperature,
        "top_p": style.top_p,
        "top_k": style.top_k,
        "consent_id": voice.consent_id,
    }
    return {name: value for name, value in row.items() if value is not None}


def _record(sampled_from: Mapping[str, Any]) -> bytes:
    return json.dumps(sampled_from, indent=2, sort_keys=True).encode()


def _refuse_other(store: Store, uri: str, record: bytes) -> None:
    changed = differences(_read_record(store, uri), json.loads(record))
    if changed:
        said = "; ".join(f"{name} was {old!r}, is {new!r}" for name, old, new in changed)
        raise RunConflictError(
            f"{uri} was sampled otherwise ({said}); restore that (hours may grow), or choose a new --out"
        )


def _read_record(store: Store, uri: str) -> dict[str, Any]:
    try:
        return dict(json.loads(store.get(RECORD)))
    except ValueError as error:
        raise RunConflictError(f"{uri}: its {RECORD} is damaged; restore it, or name a new folder") from error
