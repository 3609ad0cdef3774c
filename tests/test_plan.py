from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RunConflictError
from pipeline.plan import (
    CHAIN_ROWS,
    _planned_before,
    chains,
    content_key,
    extend_plan,
    is_planned,
    kept_footers,
    planned_prompts,
    planned_shards,
    read_planned,
)
from pipeline.records import Row
from pipeline.storage import LocalStore, Store, open_store


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


def test_a_part_whose_footer_is_known_is_read_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path))
    extend_plan(store, [row(i + 1, f"u{i}", "x" * (i + 1)) for i in range(9)], 2, length)
    extend_plan(store, [row(i + 1, f"u{i}", "x" * (i + 1)) for i in range(13)], 2, length)
    shards, whole = planned_shards(store), everything(store)
    footer_of = kept_footers(store)
    opened = []
    open_object = LocalStore.open
    monkeypatch.setattr(LocalStore, "open", lambda *given: opened.append(given[1]) or open_object(*given))
    rows = [one for shard in shards for one in read_planned(store, shard, footer_of(shard.part))]
    assert rows == whole
    assert sorted(one["utterance_id"] for one in rows) == sorted(f"u{i}" for i in range(13))
    # once for its footer, and once for each shard
    assert {key: opened.count(key) for key in opened} == {
        "plan/00000.parquet": 1 + 5,
        "plan/00001.parquet": 1 + 2,
    }


def test_what_is_planned_takes_few_bytes_a_row(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    rows = [row(i + 1, f"u{i}") for i in range(3000)]
    extend_plan(store, rows, 500, length)
    tracemalloc.start()
    try:
        known, numbers = _planned_before(store)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert known.get("u0") == content_key(rows[0])
    assert known.get("new") is None
    assert numbers.take(1) == 3001
    assert held < 40 * len(rows)  # 16 for what is known, 1 for the number; a dict of bytes took 119


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


def test_a_row_put_in_before_the_end_gets_a_number_of_its_own(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    extend_plan(store, [row(1, "a"), row(2, "b"), row(3, "c")], 2, length)
    grown = [row(1, "new"), row(2, "a"), row(3, "b"), row(4, "newer"), row(5, "c"), row(6, "last")]
    assert extend_plan(store, grown, 2, length) == 3
    numbers = {one["utterance_id"]: one["row"] for one in everything(store)}
    # those planned keep theirs; 1 is taken, and 4 is the first free number, so `newer` moves on to 5
    assert numbers == {"a": 1, "b": 2, "c": 3, "new": 4, "newer": 5, "last": 6}
    assert is_planned(store, grown)


def test_numbers_of_a_first_plan_stay_in_whatever_order_they_come(tmp_path: Path) -> None:
    """The rows of a finished run come shard by shard."""
    store = open_store(str(tmp_path))
    extend_plan(store, [row(9, "i"), row(2, "b"), row(7, "g"), row(1, "a")], 2, length)
    assert {one["utterance_id"]: one["row"] for one in everything(store)} == {"i": 9, "b": 2, "g": 7, "a": 1}


@settings(max_examples=20, deadline=None)
@given(data=st.data(), cuts=st.lists(st.integers(0, 6), max_size=3))
def test_no_two_rows_share_a_number_and_a_killed_driver_changes_none(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, cuts: list[int]
) -> None:
    """The manifest grows anywhere, several times; one run of it plans in one go, one is killed meanwhile."""
    at_once, by_bits = (open_store(str(tmp_path_factory.mktemp("plan"))) for _ in range(2))
    ids: list[str] = []
    for i, more in enumerate([3, *cuts]):
        for number in range(more):
            ids.insert(data.draw(st.integers(0, len(ids))), f"u{i}-{number}")
        rows = [row(place, name) for place, name in enumerate(ids, start=1)]
        extend_plan(at_once, rows, 4, length)
        for killed_after in (len(rows) // 3, len(rows) // 2, len(rows)):
            extend_plan(by_bits, rows[:killed_after], 4, length)
    numbers = [{one["utterance_id"]: one["row"] for one in everything(store)} for store in (at_once, by_bits)]
    assert sorted(numbers[0].values()) == list(range(1, len(ids) + 1)), "each once, and none is left out"
    assert numbers[0] == numbers[1]


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


def test_a_field_that_came_later_changes_no_key_where_it_is_not_given() -> None:
    """What runs that were planned before it have in their plans."""
    before = (
        *(
            "utterance_id",
            "prompt_audio",
            "prompt_text",
            "target_text",
            "language",
            "seed",
            "scene",
            "speaker",
        ),
        *("audio_uri", "max_duration_s", "temperature", "top_p", "top_k", "consent_id"),
    )
    one = row(1, "a", seed=7)
    said = json.dumps({name: one.get(name) for name in before}, sort_keys=True, ensure_ascii=False)
    assert content_key(one) == hashlib.sha256(said.encode()).digest()[:8]
    assert content_key(one) == content_key(one | {"ground_truth_audio": None})
    assert content_key(one) != content_key(one | {"ground_truth_audio": "said.flac"})
    assert content_key(one) != content_key(one | {"category": "questions"})


def test_a_plan_of_an_older_version_is_read_and_grows(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    extend_plan(store, [row(1, "a"), row(2, "b", prompt="q")], 2, length)
    part = pq.read_table(tmp_path / "plan" / "00000.parquet")
    pq.write_table(
        part.drop_columns(["ground_truth_audio", "ground_truth_id"]), tmp_path / "plan" / "00000.parquet"
    )
    assert is_planned(store, [row(1, "a"), row(2, "b", prompt="q")])
    assert [one["ground_truth_id"] for one in everything(store)] == [None, None]
    assert sorted(one["prompt_id"] for one in planned_prompts(store)) == ["p", "q"]


def test_ground_truths_are_prompts_without_a_transcript(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    said = {
        "ground_truth_id": "g",
        "ground_truth_audio": "said.flac",
        "prompt_text": "Reference.",
        "language": "en",
    }
    withdrawn = row(3, "c", prompt="q", consent_id="no", ground_truth_id="h", ground_truth_audio="x.flac")
    extend_plan(store, [row(1, "a", **said), row(2, "b", **said), withdrawn], 2, length)
    found = list(planned_prompts(store, lambda one: one["consent_id"] != "no"))
    assert [(one["prompt_id"], one["prompt_audio"], one["prompt_text"]) for one in found] == [
        ("p", "p.flac", "Reference."),
        ("g", "said.flac", ""),
    ]


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


def test_rows_that_follow_each_other_lie_behind_each_other_in_one_shard(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    # two books take turns in the manifest; the sizes would put every row elsewhere
    rows = [row(1, "a0", "x"), row(2, "b0", "x" * 9)]
    rows += [
        row(2 * i + j + 1, f"{book}{i}", "x" * (i % 5), follows=f"{book}{i - 1}")
        for i in range(1, 2 * CHAIN_ROWS + 1)
        for j, book in enumerate("ab")
    ]
    extend_plan(store, rows, 10, length)
    shards = [read_planned(store, shard) for shard in planned_shards(store)]
    links = 0
    for shard in shards:
        assert len(shard) <= 10
        for before, one in zip([None, *shard], shard, strict=False):
            if one["follows"] is not None:
                assert before is not None
                assert one["follows"] == before["utterance_id"]
                links += 1
    # 17 rows of each book in chains of 8, 8 and 1
    assert links == 2 * (7 + 7)
    assert extend_plan(store, rows, 10, length) == 0  # the manifest says so still


def test_a_chain_keeps_to_one_voice_and_to_its_shard(tmp_path: Path) -> None:
    chained = [
        row(1, "a", prompt="p"),
        row(2, "b", prompt="q", follows="a"),
        row(3, "c", prompt="q", follows="b"),
        row(4, "d", prompt="q", follows="gone"),
        row(5, "e", prompt="q", follows="b"),
    ]
    voices = [{"prompt_audio": None, "prompt_text": None, "description": text} for text in ("deep", "high")]
    chained += [
        row(6, "f", prompt=None, voices=voices[:1], voice_prompt_ids=[None]),
        row(7, "g", prompt=None, voices=voices[1:], voice_prompt_ids=[None], follows="f"),
        row(8, "h", prompt=None, voices=voices[1:], voice_prompt_ids=[None], follows="g"),
    ]
    found = [[one["utterance_id"] for one in chain] for chain in chains(chained)]
    assert found == [["a"], ["b", "c"], ["d"], ["e"], ["f"], ["g", "h"]]
    store = open_store(str(tmp_path))
    extend_plan(
        store, [row(1, "u0")] + [row(i + 1, f"u{i}", follows=f"u{i - 1}") for i in range(1, 8)], 3, length
    )
    assert [shard.rows for shard in planned_shards(store)] == [3, 3, 2]
    assert [one["follows"] for one in everything(store)] == [None, "u0", "u1", None, "u3", "u4", None, "u6"]
