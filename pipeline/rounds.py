"""Takes in rounds: rows that do not pass their gates are spoken again, only they, with the next seed.

A shard whose rows all pass at once is a result at once. Any other waits, with its first takes, under
`takes/0`; each round has its own plan and log under `takes/<n>`, and begins when the one before it is whole,
so that its rows are the same however often the run was stopped. In the end every waiting shard is settled:
the best take of each row is its result.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import pyarrow as pa

from pipeline.commit import Commit, ShardLog
from pipeline.errors import StorageError
from pipeline.metrics.gates import reason_code
from pipeline.metrics.takes import Decision, decide, take_seed
from pipeline.records import FAULT, PLANNED_ROW, Row, count_failed, to_table
from pipeline.results import LIGHT_COLUMNS, read_shard, result_schema, write_audio_files
from pipeline.run import Run
from pipeline.stages.judge_takes import judge_takes, without_sound
from pipeline.storage import open_store

_SHARDS_IN_MEMORY = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where other takes of a waiting shard's rows are: a shard of a round."""

    take: int
    shard: str


@dataclass(frozen=True, slots=True)
class Again:
    """A row's first take (no sound), and why its best so far does not pass."""

    first: Row
    reasons: tuple[str, ...]


@dataclass
class WaitingRows:
    """The rows that do not pass yet, with their takes so far (no sound) and where those lie."""

    run: Run
    shards: list[str]
    _takes: dict[str, list[Row]] = field(default_factory=dict)
    _home: dict[str, str] = field(default_factory=dict)
    _places: dict[str, set[tuple[int, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        waiting = self.run.waiting
        for shard in self.shards:
            for row in _rows(waiting, shard, LIGHT_COLUMNS):
                if row["gate"] == "again":
                    self._takes[row["utterance_id"]] = [row]
                    self._home[row["utterance_id"]] = shard

    def again(self) -> list[Again]:
        """The rows that get another take."""
        return [Again(row, by.reasons) for row, by in self._decided() if by.outcome == "again"]

    def never_passed(self) -> list[Again]:
        """The rows whose takes so far have all their reasons."""
        return [Again(row, by.reasons) for row, by in self._decided() if by.reasons]

    def _decided(self) -> Iterator[tuple[Row, Decision]]:
        """Each row's first take, and what its takes so far make of it."""
        return ((takes[0], decide(takes, self.run.gates)) for takes in self._takes.values())

    @property
    def count(self) -> int:
        return len(self._takes)

    def hear(self, take: int, shards: Iterable[str]) -> None:
        """Adds the takes of a round that is whole, from these shards. Raises StorageError for one without
        its commit: a listing would only leave it out."""
        log = self.run.of_take(take).results
        for shard in sorted(shards):
            for row in _rows(log, shard, LIGHT_COLUMNS):
                if (takes := self._takes.get(row["utterance_id"])) is not None:
                    takes.append(row)
                    self._places.setdefault(self._home[row["utterance_id"]], set()).add((take, shard))

    def places(self, shard: str) -> list[Place]:
        return [Place(*place) for place in sorted(self._places.get(shard, ()))]


def waiting_shards(run: Run) -> list[str]:
    """Shards whose first takes are made, but not their results."""
    return sorted(run.waiting.committed_shards() - run.results.committed_shards())


def planned_again(rows: Sequence[Again], take: int) -> Iterator[Row]:
    """The rows as they were planned at first, each with the seed of that take.

    None goes on from another: that one's other takes are not what it was heard behind.
    """
    for row in rows:
        planned = {name: row.first[name] for name in PLANNED_ROW.names}
        seed = take_seed(row.first["seed"], take)
        yield planned | dict.fromkeys(FAULT.names) | {"seed": seed, "follows": None}


def reasons_of(rows: Sequence[Again]) -> str:
    """`wer 30, similarity 12`: how many of the rows have which reason."""
    counts = Counter(code for row in rows for code in {reason_code(reason) for reason in row.reasons})
    return ", ".join(f"{code} {count}" for code, count in counts.most_common())


def settle_shard(run: Run, shard: str, places: Sequence[Place]) -> Commit:
    """Makes a waiting shard a result: each row with its best take."""
    first = _whole_shard(run.uri, Place(0, shard))
    others: dict[str, list[Row]] = {}
    for place in places:
        for row in _whole_shard(run.uri, place):
            others.setdefault(row["utterance_id"], []).append(row)
    rows = [_settled(row, others.get(row["utterance_id"], []), run) for row in first]
    return commit_results(run, shard, to_table(rows, result_schema()), attempt=f"settled-{uuid.uuid4().hex}")


def _settled(row: Row, others: Sequence[Row], run: Run) -> Row:
    if row["gate"] != "again":
        return row
    # its place is the plan's, whichever take it is
    return judge_takes([row, *others], run.gates) | {"shard": row["shard"], "row": row["row"]}


def commit_results(run: Run, shard: str, table: pa.Table, attempt: str) -> Commit:
    """Commits a shard of results whose takes are final; what is rejected is kept apart first."""
    rejected = [row for row in table.to_pylist() if row["status"] == "rejected"]
    if rejected:
        kept = to_table(rejected, result_schema())
        if run.config.output.audio_files:
            write_audio_files(run.store, kept, "rejected/audio")
        apart = {row["utterance_id"] for row in rejected}
        standing = run.rejected.write_shard(shard, kept, attempt, {"failed": 0})
        if standing.attempt != attempt:
            # one that died behind this may have heard a borderline row otherwise, and kept others apart
            apart &= set(run.rejected.read_table(standing, ["utterance_id"])["utterance_id"].to_pylist())
        rows = table.to_pylist()
        table = to_table(
            [without_sound(row) if row["utterance_id"] in apart else row for row in rows], result_schema()
        )
    if run.config.output.audio_files:
        write_audio_files(run.store, table)
    extra = {"failed": count_failed(table), "rejected": len(rejected)}
    return run.results.write_shard(shard, table, attempt, extra)


def remove_takes(run: Run) -> None:
    """Deletes the takes of a run that is whole; the plans stay, so that a name is never used twice."""
    run.waiting.clear()
    for take in range(1, run.gates.max_takes):
        of_take = run.of_take(take)
        of_take.results.clear()
        of_take.samples.clear()


@lru_cache(maxsize=_SHARDS_IN_MEMORY)
def _whole_shard(uri: str, place: Place) -> list[Row]:
    """With sound; neighbours share the shards of a round, which has their order."""
    return _rows(ShardLog(open_store(f"{uri}/takes/{place.take}")), place.shard)


def _rows(log: ShardLog, shard: str, columns: Sequence[str] | None = None) -> list[Row]:
    commit = log.read_commit(shard)
    if commit is None:
        raise StorageError(f"{log.store.uri}: shard {shard} has lost its commit; run the same command again")
    rows: list[Row] = read_shard(log, commit, columns).to_pylist()
    return rows
