"""A worker that dies is an exception that nothing catches; a new worker knows only what is in the store."""

from __future__ import annotations

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.attempts import Attempts, Care, Turns, noted
from pipeline.storage import open_store

COLUMNS = pa.schema(
    [(name, pa.string()) for name in ("shard", "utterance_id", "failed_stage", "error_code", "error_message")]
    + [("row", pa.int64())]
)


class WorkerDied(BaseException):
    pass


def shard_of(name: str, rows: int) -> pa.Table:
    made = [{"shard": name, "utterance_id": f"{name}-{i}", "row": i} for i in range(rows)]
    return pa.Table.from_pylist(made, schema=COLUMNS)


def done(table: pa.Table, store: object, killers: set[str]) -> tuple[list[dict], int]:
    """The rows that come out in the end, and how many workers died for them."""

    def work(rows: pa.Table) -> pa.Table:
        if any(row["utterance_id"] in killers and not row["failed_stage"] for row in rows.to_pylist()):
            raise WorkerDied
        return rows

    for deaths in range(200):
        try:
            return Care(Attempts(store, "Speak"))(table, work).to_pylist(), deaths
        except WorkerDied:
            continue
    raise AssertionError("it never ends")


@settings(max_examples=30)
@given(st.integers(1, 6), st.sets(st.integers(0, 5)))
def test_killers_are_quarantined_and_their_neighbours_are_not(rows: int, numbers: set[int]) -> None:
    killers = {f"s-{n}" for n in numbers if n < rows}
    with tempfile.TemporaryDirectory() as folder:
        out, deaths = done(shard_of("s", rows), open_store(folder), killers)
    assert [row["row"] for row in out] == list(range(rows))
    assert {row["utterance_id"] for row in out if row["error_code"] == "quarantined"} == killers
    assert all(row["failed_stage"] is None for row in out if row["utterance_id"] not in killers)
    # two of the shard together, then two of each of them alone
    assert deaths == (2 + 2 * len(killers) if killers else 0)


def test_what_failed_before_is_not_tried(tmp_path) -> None:
    table = shard_of("s", 2).to_pylist()
    table[0] |= {"failed_stage": "check", "error_code": "empty_text"}
    store = open_store(str(tmp_path))
    out, _ = done(pa.Table.from_pylist(table, schema=COLUMNS), store, {"s-1"})
    assert [row["error_code"] for row in out] == ["empty_text", "quarantined"]
    assert "it ended its worker 2 times (Speak)" in out[1]["error_message"]


def test_what_has_ended_is_no_attempt(tmp_path) -> None:
    attempts = Attempts(open_store(str(tmp_path)), "Speak")
    died, ended = attempts.begin("a"), attempts.begin("a")
    assert (died.before, ended.before) == (0, 1)
    ended.end()
    again = attempts.begin("a")
    assert again.before == 1
    assert len({died.key, ended.key, again.key}) == 3


def test_what_was_noted_in_a_run_and_its_takes_and_nothing_else(tmp_path) -> None:
    run, take = open_store(str(tmp_path)), open_store(str(tmp_path / "takes" / "1"))
    keys = [
        Attempts(run, "Speak").begin("s/shard").key,
        f"takes/1/{Attempts(take, 'Speak').begin('s/shard').key}",
    ]
    for key in ("plan/00000.parquet", "takes/1/plan/00000.parquet", "takes/1/data/attempts/x.parquet"):
        run.put(key, b"x")
    assert list(noted(run)) == keys


def test_other_work_counts_for_itself(tmp_path) -> None:
    store = open_store(str(tmp_path))
    assert [Attempts(store, "Speak").begin("a/shard").before for _ in range(3)] == [0, 1, 2]
    assert Attempts(store, "Transcribe").begin("a/shard").before == 0
    assert Attempts(store, "Speak").begin("b/shard").before == 0


def test_one_alone_keeps_all_others_out() -> None:
    turns, inside = Turns(), []
    together = threading.Barrier(2)

    def shared() -> None:
        with turns.together():
            together.wait(timeout=10)
            inside.append("together")

    def alone() -> None:
        with turns.alone():
            inside.append("in")
            inside.append("out")

    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(shared), pool.submit(shared), pool.submit(alone), pool.submit(alone)]:
            job.result(timeout=10)
    assert inside.count("together") == 2
    told = [word for word in inside if word != "together"]
    assert told == ["in", "out", "in", "out"]
