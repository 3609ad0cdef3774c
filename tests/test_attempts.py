"""A worker that dies is an exception that nothing catches; a new worker knows only what is in the store."""

from __future__ import annotations

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.attempts import Attempts, Care, Turns, followed, note_stop, noted
from pipeline.storage import LocalStore, Store, open_store

COLUMNS = pa.schema(
    [(name, pa.string()) for name in ("shard", "utterance_id", "failed_stage", "error_code", "error_message")]
    + [("row", pa.int64())]
)


class WorkerDied(BaseException):
    pass


@pytest.fixture(params=["local", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path) -> str:
    return str(tmp_path / "run") if request.param == "local" else request.getfixturevalue("s3") + "/run"


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
    # two of the shard beside others, one of it alone, then two of each of them alone
    assert deaths == (3 + 2 * len(killers) if killers else 0)


@settings(max_examples=30)
@given(st.lists(st.booleans(), min_size=1, max_size=8), st.sets(st.integers(0, 7)))
def test_a_row_that_goes_on_from_others_says_the_same_row_by_row(
    links: list[bool], numbers: set[int]
) -> None:
    schema = COLUMNS.append(pa.field("follows", pa.string())).append(pa.field("said", pa.string()))
    killers = {f"s-{n}" for n in numbers if n < len(links)}
    rows = [
        {"shard": "s", "utterance_id": f"s-{i}", "row": i, "follows": f"s-{i - 1}" if link and i else None}
        for i, link in enumerate(links)
    ]

    def speak(table: pa.Table) -> pa.Table:
        """What a row says depends on all that its chain has said; a failed row says nothing."""
        said, made = "", []
        for row, behind in zip(table.to_pylist(), followed(table), strict=True):
            if row["utterance_id"] in killers and not row["failed_stage"]:
                raise WorkerDied
            said = said if behind else ""
            if not row["failed_stage"]:
                said += row["utterance_id"]
            made.append(row | {"said": None if row["failed_stage"] else said})
        return pa.Table.from_pylist(made, schema=schema)

    faulty = [row | ({"failed_stage": "x"} if row["utterance_id"] in killers else {}) for row in rows]
    undisturbed = speak(pa.Table.from_pylist(faulty, schema=schema))["said"].to_pylist()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        for _ in range(200):
            try:
                out = Care(Attempts(store, "Speak"))(pa.Table.from_pylist(rows, schema=schema), speak)
                break
            except WorkerDied:
                continue
        # stopped as often, by whatever it was: row by row now, if it was not before
        attempts = Attempts(store, "Speak")
        for what in ("s/shard", "s/shard", "s/alone"):
            attempts.begin(what)
        for _ in range(2):
            again = Care(Attempts(store, "Speak"))(pa.Table.from_pylist(rows, schema=schema), speak)
    assert out["said"].to_pylist() == again["said"].to_pylist() == undisturbed
    assert again["row"].to_pylist() == list(range(len(rows)))


def test_who_was_beside_a_killer_goes_alone_but_whole(tmp_path) -> None:
    """Or every row of the 64 shards that a GPU's engine has in hand would be spoken by itself."""
    attempts, seen = Attempts(open_store(str(tmp_path)), "Speak"), []
    for _ in range(2):
        attempts.begin("s/shard")  # two workers have died with it

    def work(rows: pa.Table) -> pa.Table:
        seen.append(rows.num_rows)
        return rows

    for _ in range(3):  # and as often as others die, it stays so
        assert Care(attempts)(shard_of("s", 5), work).num_rows == 5
    assert seen == [5, 5, 5]


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


def test_workers_that_begin_at_once_share_no_note(uri: str) -> None:
    at_once = threading.Barrier(4)

    def worker(_: int) -> list[tuple[str, int]]:
        attempts = Attempts(open_store(uri), "Speak")
        begun = []
        for shard in ("a", "b", "c"):
            at_once.wait(timeout=60)
            attempt = attempts.begin(f"{shard}/shard")
            begun.append((attempt.key, attempt.before))
        return begun

    with ThreadPoolExecutor(4) as pool:
        begun = list(pool.map(worker, range(4)))
    for shard in range(3):
        assert len({each[shard][0] for each in begun}) == 4, "two workers have one note"
        # each knows of those before it: none is taken for the first that is not
        assert sorted(each[shard][1] for each in begun) == [0, 1, 2, 3]


def test_a_worker_that_died_elsewhere_a_moment_ago_counts(uri: str) -> None:
    first, second = (Attempts(open_store(uri), "Speak") for _ in range(2))
    died = first.begin("a/shard")
    again = second.begin("a/shard")
    assert (died.before, again.before) == (0, 1)
    first.begin("a/row").end()
    assert second.begin("a/row").before == 0
    assert first.begin("a/row").before == 1


def test_a_note_cannot_be_mistaken_for_another(uri: str) -> None:
    """What `Store.create` answers does not tell who wrote equal bytes: notes have none."""
    store = open_store(uri)
    for _ in range(3):
        Attempts(store, "Speak").begin("a/shard")
    notes = {store.get(key) for key in store.list("attempts")}
    assert len(notes) == 3


def test_a_first_attempt_looks_for_no_other(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, asked = open_store(str(tmp_path)), []
    for name in ("create", "list", "get", "size"):
        real = getattr(LocalStore, name)
        monkeypatch.setattr(
            LocalStore, name, lambda *given, real=real, name=name: asked.append(name) or real(*given)
        )
    Attempts(store, "Speak").begin("a/shard")
    assert asked == ["create"]


def test_a_note_that_was_taken_away_does_not_stop_the_count(tmp_path) -> None:
    store: Store = open_store(str(tmp_path))
    for number in (0, 2):
        store.put(f"attempts/Speak/a/{number}", b"of a version before")
    assert Attempts(store, "Speak").begin("a").before == 2


def test_however_often_a_driver_is_stopped_no_row_is_suspected(uri: str) -> None:
    store, seen = open_store(uri), []

    def stopped(rows: pa.Table) -> pa.Table:
        raise KeyboardInterrupt

    def work(rows: pa.Table) -> pa.Table:
        seen.append(rows.num_rows)
        return rows

    for night in range(8):
        with pytest.raises(KeyboardInterrupt):
            Care(Attempts(store, "Speak", f"night{night}"))(shard_of("s", 3), stopped)
        note_stop(store, f"night{night}")
    out = Care(Attempts(store, "Speak", "last"))(shard_of("s", 3), work)
    assert seen == [3]
    assert out["failed_stage"].to_pylist() == [None] * 3


@settings(max_examples=30)
@given(st.lists(st.booleans(), max_size=6))
def test_a_killer_is_found_after_as_many_deaths_whatever_stops_there_were_between(stops: list[bool]) -> None:
    deaths = 0

    def work(rows: pa.Table) -> pa.Table:
        if any(row["utterance_id"] == "s-1" and not row["failed_stage"] for row in rows.to_pylist()):
            raise WorkerDied
        return rows

    with tempfile.TemporaryDirectory() as folder:
        store, session, todo = open_store(folder), 0, [*stops]
        for _ in range(50):
            if todo and todo.pop():
                Attempts(store, "Speak", f"{session}").begin("s/shard")
                note_stop(store, f"{session}")
                session += 1
                continue
            try:
                out = Care(Attempts(store, "Speak", "goes on"))(shard_of("s", 3), work)
                break
            except WorkerDied:
                deaths += 1
    assert deaths == 5  # two beside others, one alone, two by itself
    assert [row["error_code"] for row in out.to_pylist()] == [None, "quarantined", None]


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
