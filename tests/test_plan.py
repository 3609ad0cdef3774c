from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RunConflictError
from pipeline.plan import content_key, extend_plan, is_planned, planned_prompts, planned_shards, read_planned
from pipeline.records import Row
from pipeline.storage import Store, open_store


def row(number: int, utterance_id: str, text: str = "hello", prompt: str | None = "p", **more: object) -> Row:
    return {
        "row": number,
        "utterance_id": utterance_id,
        "target_text": text,
        "prompt_id": prompt,
        "prompt_audio": f"{prompt}.flac",
        "error_code": None,
        **more,
    }


def length(one: Row) -> float:
    return float(len(one["target_text"]))


def everything(store: Store) -> list[Row]:
    return [one for shard in planned_shards(store) for one in read_planned(store, shard)]


def test_voices_lie_together_longest_first(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    rows = [
        row(1, "a", "xx", "p2"),
        row(2, "b", "x", "p1"),
        row(3, "c", "xxx", "p1"),
        row(4, "d", "xxxx", "p2"),
    ]
    assert extend_plan(store, rows, 3, length) == 4
    assert [one["utterance_id"] for one in everything(store)] == ["c", "b", "d", "a"]
    shards = planned_shards(store)
    assert [(shard.name, shard.rows) for shard in shards] == [("00000-00000", 3), ("00000-00001", 1)]
    assert {one["shard"] for one in read_planned(store, shards[1])} == {"00000-00001"}


def test_one_planned_row_per_voice(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    failed = row(4, "d", prompt=None, error_code="uri_not_found", failed_stage="check_prompt")
    extend_plan(store, [row(1, "a"), row(2, "b", prompt="q"), row(3, "c"), failed], 2, length)
    assert sorted(one["prompt_id"] for one in planned_prompts(store)) == ["p", "q"]


def test_a_shard_knows_how_many_of_its_rows_were_bad_before(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    bad = {"error_code": "uri_not_found", "failed_stage": "check_prompt"}
    extend_plan(store, [row(1, "a"), row(2, "b", "x", **bad), row(3, "c", "", **bad)], 2, length)
    assert [(shard.rows, shard.bad) for shard in planned_shards(store)] == [(2, 1), (1, 1)]


def test_whether_every_row_is_planned(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert not is_planned(store, [row(1, "a")])
    extend_plan(store, [row(1, "a"), row(2, "b")], 2, length)
    assert is_planned(store, [row(1, "b"), row(2, "a")])
    assert not is_planned(store, [row(1, "a"), row(2, "new")])
    with pytest.raises(RunConflictError, match="with other content"):
        is_planned(store, [row(1, "new"), row(2, "b", "other words")])


def test_an_empty_manifest_has_one_empty_shard(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert extend_plan(store, [], 8, length) == 0
    [shard] = planned_shards(store)
    assert shard.rows == 0
    assert read_planned(store, shard) == []


def test_a_grown_manifest_adds_and_never_moves(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    extend_plan(store, [row(1, "a"), row(2, "b")], 2, length)
    before = everything(store)
    assert extend_plan(store, [row(1, "new"), row(2, "b"), row(3, "a")], 2, length) == 1
    assert everything(store)[:2] == before
    assert [one["utterance_id"] for one in everything(store)[2:]] == ["new"]


def test_other_content_under_a_planned_id_is_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    extend_plan(store, [row(1, "a")], 2, length)
    with pytest.raises(RunConflictError, match="row 5: id 'a' was planned in this run with other content"):
        extend_plan(store, [row(5, "a", "other words")], 2, length)


def test_a_run_that_had_ended_is_open_again_before_anything_new_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path))
    extend_plan(store, [row(1, "a")], 2, length)
    store.put("_SUCCESS", b"{}")
    extend_plan(store, [row(1, "a")], 2, length)
    assert store.exists("_SUCCESS"), "nothing new: it stays"

    def killed(self: object, key: str, data: bytes) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(store), "create", killed)
    with pytest.raises(KeyboardInterrupt):
        extend_plan(store, [row(1, "a"), row(2, "b")], 2, length)
    assert not store.exists("_SUCCESS")


def test_content_key_ignores_where_a_row_stands_and_what_was_found() -> None:
    assert content_key(row(1, "a")) == content_key(row(9, "a", prompt_id="q", error_code="x"))
    assert content_key(row(1, "a")) != content_key(row(1, "a", seed=1))


@settings(max_examples=25, deadline=None)
@given(
    ids=st.lists(st.integers(0, 40), unique=True, max_size=30),
    cut=st.integers(0, 30),
    shard_rows=st.integers(1, 7),
    random=st.randoms(use_true_random=False),
)
def test_every_row_is_planned_once_however_the_manifest_grows(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int], cut: int, shard_rows: int, random: object
) -> None:
    store = open_store(str(tmp_path_factory.mktemp("plan")))
    rows = [row(i + 1, f"u{number}", "x" * number, f"p{number % 3}") for i, number in enumerate(ids)]
    extend_plan(store, rows[:cut], shard_rows, length)
    random.shuffle(rows)  # type: ignore[attr-defined]
    extend_plan(store, rows, shard_rows, length)
    extend_plan(store, rows, shard_rows, length)
    assert sorted(one["utterance_id"] for one in everything(store)) == sorted(f"u{number}" for number in ids)
    assert all(shard.rows <= shard_rows for shard in planned_shards(store))
