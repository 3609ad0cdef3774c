"""The plan: which row lies in which shard, written once and never changed.

`plan/00000.parquet`, `plan/00001.parquet`, ... hold the planned rows; row group i of part p is shard
`ppppp-iiiii`, so a worker reads its rows without reading its neighbours'. Within a part one voice's
rows lie together, the longest first. Rows that follow each other lie behind each other, in one shard and
at most CHAIN_ROWS of them: the next one begins anew, so that a shard has several to be spoken at a time.
A manifest that has grown adds parts; it never moves a row.
"""

from __future__ import annotations

import hashlib
import io
import json
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.commit import ShardLog
from pipeline.errors import RunBusyError, RunConflictError
from pipeline.records import PLANNED_ROW, REQUEST, Row, to_table
from pipeline.stages.load_prompt import NO_TRANSCRIPT
from pipeline.storage import Store

PART_ROWS = 16_384
CHAIN_ROWS = 8
_FOOTERS_KEPT = 4  # some 10 MB each
# a row's shard is where it lies
_PART = PLANNED_ROW.remove(0).append(pa.field("content_key", pa.binary()))
# Fields that came later: a row without them keeps the key it had.
_LATER = frozenset({"ground_truth_audio", "category", "voices", "follows"})


@dataclass(frozen=True, slots=True)
class PlannedShard:
    name: str
    part: str  # key of the Parquet part
    row_group: int
    rows: int
    bad: int = 0  # of the rows: those that were found faulty before they were planned


def content_key(row: Row) -> bytes:
    """8 bytes over what the manifest says of a row; its number and its faults are left out."""
    said = {name: row.get(name) for name in REQUEST.names if name != "row"}
    said = {name: value for name, value in said.items() if value is not None or name not in _LATER}
    return hashlib.sha256(
        json.dumps(said, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")
    ).digest()[:8]


def extend_plan(store: Store, rows: Iterable[Row], shard_rows: int, size_of: Callable[[Row], float]) -> int:
    """Plans the rows that no part holds yet; returns how many were new.

    `row` is unique in a run: a new row with the number of a planned one, since it was put in before the
    manifest's end, gets the next that is free.
    Two drivers that plan one manifest write equal parts, and the second to create one takes the
    first's. Raises RunConflictError when a planned id comes back with other content.
    """
    known, numbers = _planned_before(store)
    part_number = len(list(store.list("plan")))
    added = 0
    new = (row | {"row": numbers.take(row["row"])} for row in _unplanned(rows, known))
    for chunk in _chunks(new, PART_ROWS):
        if store.exists("_SUCCESS"):  # a run that had ended is open again, before it has anything to do
            store.delete("_SUCCESS")
        shards = fill_shards(chains(chunk, min(CHAIN_ROWS, shard_rows)), shard_rows, size_of)
        if not store.create(f"plan/{part_number:05d}.parquet", _part_bytes(shards)):
            raise RunBusyError(
                f"{store.uri}: another driver is planning this run; wait for it or stop it, then run again"
            )
        part_number += 1
        added += len(chunk)
    if part_number == 0:
        # an empty manifest still has one shard, so that readers find the schema
        store.create("plan/00000.parquet", _part_bytes([]))
    return added


def chains(rows: Iterable[Row], most: int = CHAIN_ROWS) -> list[list[Row]]:
    """Rows that follow each other, in one voice, as lists of at most `most`; any other row alone.

    The first of a list follows none: what it says of that is taken out.
    """
    found: list[list[Row]] = []
    ending: dict[tuple[Any, ...], list[Row]] = {}  # the lists by their last row and its voice
    for row in rows:
        chain = ending.pop(_in_voice(row, row.get("follows")), None)
        if chain is None or len(chain) == most:
            found.append(chain := [])
            row = row | {"follows": None} if row.get("follows") else row
        chain.append(row)
        ending[_in_voice(row, row["utterance_id"])] = chain
    return found


def fill_shards(
    chains: Iterable[list[Row]], shard_rows: int, size_of: Callable[[Row], float]
) -> list[list[Row]]:
    """One voice's chains together, the longest first, in shards of at most `shard_rows` rows; a chain is none
    longer."""

    def place(chain: list[Row]) -> tuple[str, float, int]:
        return chain[0].get("prompt_id") or "", -sum(map(size_of, chain)), chain[0]["row"]

    shards: list[list[Row]] = []
    for chain in sorted(chains, key=place):
        if not shards or len(shards[-1]) + len(chain) > shard_rows:
            shards.append([])
        shards[-1] += chain
    return shards


def is_planned(store: Store, rows: Iterable[Row]) -> bool:
    """Whether all the rows are; looks at every one. Raises RunConflictError as `extend_plan` does.

    What is planned stays so: a driver that has looked need not plan.
    """
    known, _ = _planned_before(store)
    return sum(1 for _ in _unplanned(rows, known)) == 0 and any(store.list("plan"))


def planned_shards(store: Store) -> list[PlannedShard]:
    shards = []
    for key in store.list("plan"):
        part = key.removeprefix("plan/").removesuffix(".parquet")
        sizes = list(_sizes(_footer(store, key))) or [(0, 0)]
        shards += [PlannedShard(f"{part}-{i:05d}", key, i, *size) for i, size in enumerate(sizes)]
    return shards


def remaining_shards(log: ShardLog) -> list[PlannedShard]:
    """The planned shards that `log`, of a run's results or samples, does not hold yet."""
    done = log.committed_shards()
    return [shard for shard in planned_shards(log.store) if shard.name not in done]


def shards_with(store: Store, ids: Collection[str]) -> set[str]:
    """Names of the shards in which any of these rows is planned."""
    footer_of = kept_footers(store)
    return {
        shard.name
        for shard in planned_shards(store)
        if any(row["utterance_id"] in ids for row in read_planned(store, shard, footer_of(shard.part)))
    }


def kept_footers(store: Store) -> Callable[[str], pq.FileMetaData]:
    """Gives the footer of a part by its key, and keeps the latest: a part never changes.

    To read and parse one costs as much as the rows of ten shards.
    """
    return lru_cache(_FOOTERS_KEPT)(lambda part: _footer(store, part))


def read_planned(store: Store, shard: PlannedShard, footer: pq.FileMetaData | None = None) -> list[Row]:
    """The rows of one shard, in the shard's order; `footer` is its part's, if it has been read already."""
    if shard.rows == 0:
        return []
    with store.open(shard.part) as file:
        part = pq.ParquetFile(file, metadata=footer)
        table = part.read_row_group(shard.row_group, columns=_PART.names[:-1])
    nothing = dict.fromkeys(PLANNED_ROW.names)  # of the fields that an older part does not have
    return [{**nothing, **row, "shard": shard.name} for row in table.to_pylist()]


def planned_rows(store: Store, names: list[str]) -> Iterator[Row]:
    """These columns of every planned row, as far as its part has them."""
    for table in _columns(store, names):
        yield from table.to_pylist()


def planned_prompts(store: Store, may: Callable[[Row], bool] = lambda _: True) -> Iterator[Row]:
    """One row of every distinct prompt, of those rows that `may` be spoken.

    A ground truth is a prompt, too, of its own audio and without a transcript (`NO_TRANSCRIPT`).
    """
    names = ["prompt_id", "prompt_audio", "prompt_text", "language", "consent_id"]
    others = ["ground_truth_id", "ground_truth_audio", "voice_prompt_ids", "voices"]
    seen: set[str] = set()
    for row in filter(may, planned_rows(store, [*names, *others])):
        for prompt in (row, *_voices(row), _ground_truth(row)):
            if prompt["prompt_id"] is not None and prompt["prompt_id"] not in seen:
                seen.add(prompt["prompt_id"])
                yield {name: prompt[name] for name in names}


def _voices(row: Row) -> Iterator[Row]:
    ids = row.get("voice_prompt_ids") or []
    for prompt_id, voice in zip(ids, row["voices"] if ids else [], strict=True):
        yield row | voice | {"prompt_id": prompt_id}


def _ground_truth(row: Row) -> Row:
    prompt = {"prompt_id": row.get("ground_truth_id"), "prompt_audio": row.get("ground_truth_audio")}
    return row | prompt | {"prompt_text": NO_TRANSCRIPT}


class _Known:
    """Hash of every planned id -> its row's content key, 16 bytes a row. Ids are unique, those of bad rows
    included."""

    def __init__(self, ids: array[int], keys: array[int]) -> None:
        order = np.argsort(np.array(ids, np.uint64))
        self._ids, self._keys = (
            array("Q", np.array(column, np.uint64)[order].tobytes()) for column in (ids, keys)
        )

    def get(self, utterance_id: str) -> bytes | None:
        wanted = int.from_bytes(_id_hash(utterance_id))
        at = bisect_left(self._ids, wanted)
        if at == len(self._ids) or self._ids[at] != wanted:
            return None
        return self._keys[at].to_bytes(8)


class _Numbers:
    """Row numbers from 1 that are taken, a byte each."""

    def __init__(self) -> None:
        self._taken = bytearray(1)
        self._first_free = 1  # all below are taken: so a thousand rows put in at the front are no search each

    def take(self, number: int) -> int:
        """The number itself, or the first free one above it if it is taken."""
        free = self._taken.find(0, max(number, self._first_free))
        free = max(number, len(self._taken)) if free < 0 else free
        self.add(free)
        return free

    def add(self, number: int) -> None:
        self._taken.extend(bytes(max(0, number + 1 - len(self._taken))))
        self._taken[number] = 1
        while self._first_free < len(self._taken) and self._taken[self._first_free]:
            self._first_free += 1


def _planned_before(store: Store) -> tuple[_Known, _Numbers]:
    ids, keys, numbers = array("Q"), array("Q"), _Numbers()
    for row in planned_rows(store, ["utterance_id", "content_key", "row"]):
        ids.append(int.from_bytes(_id_hash(row["utterance_id"])))
        keys.append(int.from_bytes(row["content_key"]))
        numbers.add(row["row"])
    return _Known(ids, keys), numbers


def _unplanned(rows: Iterable[Row], known: _Known) -> Iterator[Row]:
    for row in rows:
        key = content_key(row)
        planned = known.get(row["utterance_id"])
        if planned is None:
            yield {**row, "content_key": key}
        elif planned != key:
            raise RunConflictError(
                f"row {row['row']}: id {row['utterance_id']!r} was planned in this run with other content; "
                "give the row a new id, or run into a new --out"
            )


def _footer(store: Store, part: str) -> pq.FileMetaData:
    with store.open(part) as file:
        return pq.ParquetFile(file).metadata


def _sizes(footer: pq.FileMetaData) -> Iterator[tuple[int, int]]:
    """(rows, bad rows) of every row group. A bad row has a failed stage: Parquet keeps a column's nulls."""
    paths = [footer.schema.column(i).path for i in range(footer.num_columns)]
    failed_stage = paths.index("failed_stage")
    for i in range(footer.num_row_groups):
        group = footer.row_group(i)
        statistics = group.column(failed_stage).statistics
        yield group.num_rows, group.num_rows - statistics.null_count if statistics else 0


def _columns(store: Store, names: list[str]) -> Iterator[pa.Table]:
    """Those of them that a part has: an older one lacks fields that came later.

    A part at a time: thousands of row groups, one by one, take three times as long.
    """
    for key in store.list("plan"):
        with store.open(key) as file:
            yield pq.ParquetFile(file).read(columns=names)


def _part_bytes(shards: Sequence[list[Row]]) -> bytes:
    """A row group a shard."""
    buffer = io.BytesIO()
    table = to_table([row for shard in shards for row in shard], _PART)
    with pq.ParquetWriter(buffer, _PART, compression="zstd") as writer:
        for begin, end in pairwise(accumulate(map(len, shards), initial=0)):
            writer.write_table(table.slice(begin, end - begin))
    return buffer.getvalue()


def _in_voice(row: Row, utterance_id: str | None) -> tuple[Any, ...]:
    described = (voice["description"] for voice in row.get("voices") or ())
    return utterance_id, row.get("prompt_id"), *(row.get("voice_prompt_ids") or ()), *described


def _id_hash(utterance_id: str) -> bytes:
    return hashlib.sha256(utterance_id.encode("utf-8", "replace")).digest()[:8]


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
