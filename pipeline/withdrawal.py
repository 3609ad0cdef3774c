"""What a run holds of voices whose consent was withdrawn, and its removal.

The rows stay, failed with `consent_revoked`, and so do their texts and scores: what goes is what sounds like
somebody or tells who it was. A shard is put anew in its place, the one case in which a commit is replaced.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.commit import Commit, ShardLog
from pipeline.consent import same_id
from pipeline.plan import planned_rows
from pipeline.records import SAMPLE, UTTERANCE, Row, count_failed, is_failed, to_table
from pipeline.run import shard_logs
from pipeline.stages.check_consent import STAGE
from pipeline.storage import Store

# what is made of a voice, in samples and in results
_VOICED = frozenset(
    {
        *SAMPLE.names,
        *UTTERANCE.names,
        *("codes", "codes_shape", "codes_dtype", "prompt_embedding", "ground_truth_embedding"),
    }
)
# of these each has one where a row holds any of the above, and they are small
_SIGNS = ("audio_ids_shape", "codes_shape", "num_samples")
_PAGE = "report.html"  # may hold the sound; it is written again by a command


@dataclass(frozen=True, slots=True)
class Holdings:
    """`shards` are keys of data objects with how many of their rows are meant, `files` keys in the run's
    folder, `voices` keys with the prompt cache they lie in. `unspoken` rows are planned and not in the
    results yet; `shared` voices are also those of rows under other consents, and stay."""

    shards: dict[str, int]
    files: list[str]
    voices: list[tuple[Store, str]]
    unspoken: int
    shared: int


def find_withdrawn(store: Store, caches: Sequence[Store], revoked: Collection[str]) -> Holdings:
    """Of the rows whose consent ids are among `revoked`, each as `same_id` writes it. Reads only.

    Raises StorageError.
    """
    found = [(log, commit, rows) for log in shard_logs(store) for commit, rows in _held(log, revoked)]
    shards = {_key(log, commit.key): rows for log, commit, rows in found}
    names: set[str] = set()
    prompts: dict[bool, set[str]] = {True: set(), False: set()}
    planned: Counter[bool] = Counter()
    columns = ["utterance_id", "consent_id", "prompt_id", "ground_truth_id", "voice_prompt_ids"]
    for row in planned_rows(store, columns):
        meant = _is_meant(row, revoked)
        planned[meant] += 1
        recordings = {row.get("prompt_id"), row.get("ground_truth_id"), *(row.get("voice_prompt_ids") or [])}
        prompts[meant] |= recordings - {None}
        if meant:
            names |= {f"{folder}/{row['utterance_id']}.flac" for folder in ("audio", "rejected/audio")}
    files = [key for folder in ("audio", "rejected/audio") for key in store.list(folder) if key in names]
    files += [_PAGE] * bool(names and store.exists(_PAGE))
    gone = {f"{prompt}.parquet" for prompt in prompts[True] - prompts[False]}
    kept = ((cache, key) for cache in caches for key in cache.list()) if gone else ()
    voices = [(cache, key) for cache, key in kept if key.rpartition("/")[2] in gone]
    unspoken = planned[True] - _in_results(store, revoked)
    return Holdings(shards, files, voices, unspoken, len(prompts[True] & prompts[False]))


def remove_withdrawn(store: Store, caches: Sequence[Store], revoked: Collection[str]) -> Holdings:
    """Removes what `find_withdrawn` finds, and what a removal that died has left. Only while nobody writes.

    Done again it finds nothing. Raises StorageError.
    """
    holdings = find_withdrawn(store, caches, revoked)
    for log in shard_logs(store):
        for commit, _ in list(_held(log, revoked)):
            cleared = _cleared(log.read_table(commit), revoked)
            extra = commit.extra | {"failed": count_failed(cleared)}
            if "rejected" in extra:
                extra["rejected"] = cleared.column("status").to_pylist().count("rejected")
            log.replace_shard(commit, cleared, uuid.uuid4().hex, extra)
        log.remove_orphans(log.commits())
    for key in holdings.files:
        store.delete(key)
    for cache, key in holdings.voices:
        cache.delete(key)
    return holdings


def _held(log: ShardLog, revoked: Collection[str]) -> Iterator[tuple[Commit, int]]:
    """The shards with rows that are meant and hold something, and how many."""
    for commit in log.commits():
        signs = [name for name in _SIGNS if name in log.column_names(commit)]
        rows = log.read_table(commit, ["consent_id", *signs]).to_pylist()
        meant = sum(_is_meant(row, revoked) and any(row[name] is not None for name in signs) for row in rows)
        if meant:
            yield commit, meant


def _cleared(table: pa.Table, revoked: Collection[str]) -> pa.Table:
    rows = [_without_voice(row) if _is_meant(row, revoked) else row for row in table.to_pylist()]
    return to_table(rows, table.schema)


def _without_voice(row: Row) -> Row:
    """What a row says of its failure stays, if it had failed before anybody spoke."""
    said = f"consent {row['consent_id'].strip()} was withdrawn; what was made with it is removed"
    fault: Row = {"failed_stage": STAGE, "error_code": "consent_revoked", "error_message": said}
    judged: Row = {"status": "failed", "gate": None, "gate_reasons": None}
    nothing: Row = dict.fromkeys(_VOICED)
    return row | nothing | ({} if is_failed(row) else fault | judged)


def _is_meant(row: Row, revoked: Collection[str]) -> bool:
    return row["consent_id"] is not None and same_id(row["consent_id"]) in revoked


def _in_results(store: Store, revoked: Collection[str]) -> int:
    log = ShardLog(store)
    tables = (log.read_table(commit, ["consent_id"]) for commit in log.commits())
    return sum(_is_meant(row, revoked) for table in tables for row in table.to_pylist())


def _key(log: ShardLog, key: str) -> str:
    return f"{log.prefix}/{key}" if log.prefix else key
