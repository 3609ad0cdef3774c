"""Rows that end their process (a crash in native code, memory, `exit`) are found and hurt only themselves.

What is tried is noted where a dead process cannot forget it: one small object per attempt, under
`attempts/` of the run. A shard whose process has died with it twice goes alone; one with which it died then,
too, goes row by row, each row alone in its process; a row that twice was the last thing a process did is
quarantined: it fails, and its neighbours are what they would have been.

A driver that is stopped ends its workers, too, but no row did: it says so (`note_stop`), and what it had in
hand is not counted. One that is killed cannot say it, and a row may be why. Voices that are encoded, packing
and commits are outside of this: they load nothing of a row that is not bounded elsewhere.
"""

from __future__ import annotations

import hashlib
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from pipeline.records import is_failed, to_table
from pipeline.storage import ObjectMissing, Store

SHARD_ATTEMPTS = 2  # before a shard goes alone: many are in a process at once, and one of them ends it
ROW_ATTEMPTS = 2  # before a row is quarantined
STAGE = "quarantine"
_ENDED = ".ended"
_STOPPED = "attempts/stopped"
_NOTE = re.compile(r"(takes/[0-9]+/)?attempts/.+")


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often work of a kind has begun and not ended, by what it was on. `session` names the driver."""

    store: Store
    work: str
    session: str = ""

    def begin(self, what: str) -> Attempt:
        """Notes one more. Costs one request where there was none before, which is nearly always.

        Numbers are taken by creating them: whatever is not the first learns it from the store, wherever
        and in whichever run of a driver the others were made.
        """
        folder = f"attempts/{self.work}/{what}"
        # named, or two that begin at once would both read back their own note
        mine = f"{self.session}/{uuid.uuid4().hex}".encode()
        number, others = 0, list[str]()
        while not self.store.create(f"{folder}/{number}", mine):
            noted = set(self.store.list(folder))
            begun = {key for key in noted if not key.endswith(_ENDED)}
            others = [key for key in begun if f"{key}{_ENDED}" not in noted]
            number = max(number + 1, len(begun))
        return Attempt(self.store, f"{folder}/{number}", sum(not self._was_stopped(key) for key in others))

    def _was_stopped(self, key: str) -> bool:
        """Whether it was of a driver that has said that it stops."""
        try:
            session = self.store.get(key).decode().partition("/")[0]
        except ObjectMissing:  # the run has become whole meanwhile
            return True
        return bool(session) and self.store.exists(f"{_STOPPED}/{session}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """`before` is how many others there are that have not ended, begun before it."""

    store: Store
    key: str
    before: int

    def end(self) -> None:
        self.store.create(f"{self.key}{_ENDED}", b"")


def note_stop(store: Store, session: str) -> None:
    """Says that a driver ends its workers, and that no row of theirs does."""
    store.create(f"{_STOPPED}/{session}", b"")


def noted(store: Store) -> Iterator[str]:
    """Keys of all that was noted in a run, its takes included: of a run that is whole nobody asks again."""
    for folder in ("attempts", "takes"):
        yield from filter(_NOTE.fullmatch, store.list(folder))


class Care:
    """Does a stage's work on shards, several at a time; on one that may have ended its process by itself."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._turns = Turns()

    def __call__(self, table: pa.Table, work: Callable[[pa.Table], pa.Table]) -> pa.Table:
        """`table` is a shard with rows: `shard`, `utterance_id` and the fault columns are looked at."""
        if table.num_rows == 0:
            return work(table)
        shard = table["shard"][0].as_py()
        if self._attempts.begin(f"{shard}/shard").before < SHARD_ATTEMPTS:
            with self._turns.together():
                return work(table)
        with self._turns.alone():
            # noted only now: of all that wait for such a turn, one has it when a process dies
            alone = self._attempts.begin(f"{shard}/alone")
            if alone.before == 0:
                whole = work(table)
                alone.end()
                return whole
        given, done = [], []
        for i, before in enumerate(followed(table)):
            with self._turns.alone():
                given.append(table.slice(i, 1))
                done.append(self._row(shard, given, before, work))
        return pa.concat_tables(done)

    def _row(
        self, shard: str, given: list[pa.Table], before: int, work: Callable[[pa.Table], pa.Table]
    ) -> pa.Table:
        """The last of the `given` rows, with the `before` ones that it goes on from: it says the same so."""
        [row] = given[-1].to_pylist()
        if is_failed(row):
            return work(given[-1])
        digest = hashlib.sha256(row["utterance_id"].encode("utf-8", "replace")).hexdigest()[:16]
        attempt = self._attempts.begin(f"{shard}/{digest}")
        if attempt.before >= ROW_ATTEMPTS:
            given[-1] = to_table([row | self._fault(attempt.before)], given[-1].schema)
        done = work(pa.concat_tables(given[len(given) - 1 - before :])).slice(before)
        attempt.end()
        return done

    def _fault(self, times: int) -> dict[str, str]:
        said = f"it ended its worker {times} times ({self._attempts.work}); look at its text and reference"
        return {"failed_stage": STAGE, "error_code": "quarantined", "error_message": said}


def followed(table: pa.Table) -> list[int]:
    """How many rows right before each are its chain (`follows`, see `plan.chains`)."""
    if "follows" not in table.column_names:
        return [0] * table.num_rows
    counts: list[int] = []
    ids, follows = table["utterance_id"].to_pylist(), table["follows"].to_pylist()
    for i in range(table.num_rows):
        goes_on = i > 0 and follows[i] is not None and follows[i] == ids[i - 1]
        counts.append(counts[-1] + 1 if goes_on else 0)
    return counts


class Turns:
    """Any number of calls together, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._waiting = 0  # for a turn alone: nobody new comes in before

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._inside >= 0 and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._inside == 0)
            self._waiting -= 1
            self._inside = -1
        try:
            yield
        finally:
            with self._changed:
                self._inside = 0
                self._changed.notify_all()
