"""A narration's folder, and its rounds: what of the script is to be spoken still, or once more.

narration.json        written first: whose folder it is, and how it was asked for
voices/               the references, named by their content
script.json           the segments, as written and as spoken
rounds/0.jsonl        a manifest: what no round before it holds; written once
runs/0                its run, an ordinary one of voicemill
*.m4b chapters/ *.srt what is handed on
report.json           written last

A segment is known by what is said, in which voice: a text that was mended is spoken where it differs only,
whatever the ids have become.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from pipeline.destination import open_destination
from pipeline.errors import ConfigError, RunBusyError, RunConflictError
from pipeline.metrics.takes import take_seed
from pipeline.narration.options import NarrationOptions, options_from_dict
from pipeline.narration.script import Script, manifest_rows, predecessors, script_from
from pipeline.programme.references import Reference
from pipeline.stages.check_request import derive_seed
from pipeline.storage import Store

MARK = "narration.json"
SCRIPT = "script.json"
_FOLDER = "rounds"
References = Mapping[str, Reference]  # by voice
ManifestRow = Mapping[str, Any]
Content = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Round:
    number: int
    rows: tuple[ManifestRow, ...]


@dataclass(frozen=True, slots=True)
class Narration:
    """A folder with what it was asked for; `rows` are the script's, as a manifest has them."""

    store: Store
    script: Script
    options: NarrationOptions
    references: References

    @property
    def rows(self) -> list[ManifestRow]:
        return list(manifest_rows(self.script.segments, self.references, self.script.language))

    def manifest_uri(self, number: int) -> str:
        return f"{self.store.uri}/{_manifest_key(number)}"

    def run_uri(self, number: int) -> str:
        return f"{self.store.uri}/runs/{number}"


def open_folder(out: str) -> Store:
    """Raises ConfigError for a folder that cannot be written to, RunConflictError for one of other things."""
    store = open_destination(out)
    if not store.exists(MARK) and (other := next(store.list(), None)) is not None:
        raise RunConflictError(f"{out} holds {other} and no narration; name an empty or a new folder")
    return store


def refuse_another_book(store: Store, book: str) -> None:
    """A folder is one book's: what is handed on would be replaced. Its text may change, and its place.

    Raises RunConflictError.
    """
    if store.exists(MARK) and _name(other := json.loads(store.get(MARK))["book"]) != _name(book):
        raise RunConflictError(f"{store.uri} is the narration of {other}; name another --out for {book}")


def _name(book: str) -> str:
    return book.rstrip("/").rpartition("/")[2]


def keep(narration: Narration, book: str) -> None:
    """Writes down what is asked for, so that `redo` asks for the same."""
    references = {voice: astuple(reference) for voice, reference in narration.references.items()}
    asked = {"book": book, "options": narration.options.to_dict(), "references": references}
    narration.store.put(MARK, json.dumps(asked, ensure_ascii=False, indent=1).encode())
    narration.store.put(SCRIPT, narration.script.to_bytes())


def kept(out: str) -> Narration:
    """Raises RunConflictError for a folder without a narration."""
    store = open_destination(out)
    if not store.exists(MARK) or not store.exists(SCRIPT):
        raise RunConflictError(f"{out} holds no narration; name the --out of a `voicemill narrate`")
    asked = json.loads(store.get(MARK))
    references = {voice: Reference(*parts) for voice, parts in asked["references"].items()}
    return Narration(store, script_from(store.get(SCRIPT)), options_from_dict(asked["options"]), references)


def read_rounds(store: Store) -> list[Round]:
    """In their order."""
    numbers = sorted(
        int(key.removeprefix(f"{_FOLDER}/").removesuffix(".jsonl"))
        for key in store.list(_FOLDER)
        if key.endswith(".jsonl")
    )
    return [Round(number, _rows(store.get(_manifest_key(number)))) for number in numbers]


def add_round(narration: Narration, rows: Sequence[ManifestRow]) -> int:
    """The new round's number. Raises RunConflictError where another driver adds one at the same time."""
    store = narration.store
    number = len(read_rounds(store))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not store.create(_manifest_key(number), lines.encode()):
        raise RunBusyError(f"{store.uri}: another driver works on this narration; wait for it")
    return number


def never_asked(rows: Iterable[ManifestRow], rounds: Iterable[Round]) -> list[ManifestRow]:
    """The rows that no round holds, whatever became of them there."""
    asked = {content_of(row) for each in rounds for row in each.rows}
    return [row for row in rows if content_of(row) not in asked]


def once_more(
    narration: Narration, ids: Sequence[str], rounds: Sequence[Round], base_seed: int, max_takes: int
) -> list[ManifestRow]:
    """The rows of these segments, each with the first seed that no round's takes of it can have used.

    Seeds go on from the row's own, as those of its takes do.
    """
    wanted = frozenset(ids)
    made: list[ManifestRow] = []
    for row in narration.rows:
        if row["id"] in wanted:
            before = sum(content_of(each) == content_of(row) for past in rounds for each in past.rows)
            seed = take_seed(derive_seed(base_seed, row["id"]), before * max_takes)
            made.append({**row, "seed": seed})
    return made


def refuse_unknown(narration: Narration, ids: Iterable[str]) -> None:
    """Raises ConfigError for an id that the script does not have."""
    known = {segment.id for segment in narration.script.segments}
    for name in ids:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            raise ConfigError(f"{name}: no such segment{f'; did you mean {close[0]}?' if close else ''}")


def content_of(row: ManifestRow) -> Content:
    """What is said, how, and with whose consent; not where it stands."""
    return row["text"], row["ref"], row.get("ref_text") or "", row["language"], row.get("consent_id") or ""


def going_on(narration: Narration, rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    """With a context, rows go on from each other; one whose predecessor is not among them begins anew."""
    before = predecessors(narration.script.segments) if narration.options.context else {}
    here = {row["id"] for row in rows}
    return [{**row, "follows": before[row["id"]]} if before.get(row["id"]) in here else row for row in rows]


def _manifest_key(number: int) -> str:
    return f"{_FOLDER}/{number}.jsonl"


def _rows(data: bytes) -> tuple[ManifestRow, ...]:
    return tuple(json.loads(line) for line in data.splitlines())
