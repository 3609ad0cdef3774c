"""What a withdrawn consent takes out of a run, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import read_results
from pipeline.commit import ShardLog
from pipeline.plan import extend_plan
from pipeline.records import SAMPLE_ROW, Row, to_table
from pipeline.results import result_schema
from pipeline.storage import Store, open_store
from pipeline.withdrawal import find_withdrawn, remove_withdrawn

SOUND = b"the sound of somebody"
REVOKED = frozenset({"c-2"})
CONSENTS = {"kept": "c-1", "gone": " C-2", "shared": "c-2", "rejected": "c-2", "late": "c-2", "nobody": None}
PROMPTS = {"kept": "p1", "gone": "p2", "shared": "p1", "rejected": "p3", "late": "p2", "nobody": None}


def row(number: int, name: str, **more: object) -> Row:
    return {
        "row": number,
        "utterance_id": name,
        "consent_id": CONSENTS[name],
        "prompt_id": PROMPTS[name],
        "target_text": name,
        "shard": "00000-00000",
        **more,
    }


def spoken(number: int, name: str, **more: object) -> Row:
    counts = {"wer_substitutions": 1, "wer_deletions": 0, "wer_insertions": 0, "wer_reference_words": 4}
    heard = {
        "audio": {"bytes": SOUND, "path": None},
        "num_samples": 9,
        "duration_s": 1.0,
        "wer": 0.25,
    } | counts
    return row(number, name, status="ok", codes=SOUND, codes_shape=[1, 21], take=0) | heard | more


def run_of(store: Store, cache: Store) -> None:
    """A whole run but for the row `late`, with its samples, rejected takes and files."""
    names = list(CONSENTS)
    extend_plan(store, [row(i, name) for i, name in enumerate(names, start=1)], 32, lambda _: 0.0)
    silent = {"status": "rejected", "audio": None, "codes": None, "codes_shape": None, "gate": "rejected"}
    failed = {"status": "failed", "failed_stage": "check_prompt", "error_code": "audio_silent"}
    results = [
        spoken(1, "kept"),
        spoken(2, "gone", gate="passed"),
        spoken(3, "shared"),
        spoken(4, "rejected", **silent),
        row(6, "nobody", **failed),
    ]
    ShardLog(store).write_shard(
        "00000-00000", to_table(results, result_schema()), "a", {"failed": 1, "rejected": 1}
    )
    best = to_table([spoken(4, "rejected", status="rejected")], result_schema())
    ShardLog(store, "rejected").write_shard("00000-00000", best, "a", {"failed": 0})
    packed = [
        row(i, name, audio_ids_concat=SOUND, audio_ids_shape=[1, 21], prompt_embedding=[0.5], input_ids=[1])
        for i, name in enumerate(names, start=1)
    ]
    ShardLog(store, "samples").write_shard("00000-00000", to_table(packed, SAMPLE_ROW), "a", {"failed": 0})
    for key in ("audio/kept.flac", "audio/gone.flac", "audio/shared.flac", "rejected/audio/rejected.flac"):
        store.put(key, SOUND)
    store.put("report.html", SOUND)
    for prompt in ("p1", "p2", "p3", "p9"):
        cache.put(f"0123456789ab/{prompt}.parquet", SOUND)


def everything(store: Store) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, Store]:
    monkeypatch.setattr("os.fsync", lambda _: None)  # a busy disk makes the tests slow, and no power fails
    store, cache = open_store(str(tmp_path / "run")), open_store(str(tmp_path / "cache"))
    run_of(store, cache)
    return store, cache


def test_it_is_listed_and_nothing_is_touched(place: tuple[Store, Store]) -> None:
    store, cache = place
    before = everything(store) | everything(cache)
    found = find_withdrawn(store, [cache], REVOKED)
    assert {key.partition("data/")[0]: rows for key, rows in found.shards.items()} == {
        "": 3,  # gone, shared, and rejected, which is to be called withdrawn
        "samples/": 4,  # late, too
        "rejected/": 1,
    }
    assert found.files == [
        "audio/gone.flac",
        "audio/shared.flac",
        "rejected/audio/rejected.flac",
        "report.html",
    ]
    assert found.voices == [(cache, f"0123456789ab/{voice}.parquet") for voice in ("p2", "p3")]
    assert (found.unspoken, found.shared) == (1, 1)
    assert everything(store) | everything(cache) == before


def test_it_goes_and_the_rest_stays_as_it_was(place: tuple[Store, Store]) -> None:
    store, cache = place
    before = read_results(store.uri)
    listed = find_withdrawn(store, [cache], REVOKED)
    assert remove_withdrawn(store, [cache], REVOKED) == listed
    after = read_results(store.uri)
    stay = [name not in ("gone", "shared", "rejected") for name in after["utterance_id"].to_pylist()]
    assert after.filter(pa.array(stay)).equals(before.filter(pa.array(stay)))
    assert after["row"].equals(before["row"])
    for one in after.filter(pa.array([not each for each in stay])).to_pylist():
        assert (one["status"], one["error_code"], one["gate"]) == ("failed", "consent_revoked", None)
        assert {one[name] for name in ("audio", "codes", "num_samples")} == {None}
        assert (one["wer"], one["target_text"]) == (0.25, one["utterance_id"]), "what was measured stays"
    [commit] = ShardLog(store).commits()
    assert commit.extra == {"failed": 4, "rejected": 0}
    left = everything(store)
    assert [key for key in left if key.endswith((".flac", ".html"))] == ["audio/kept.flac"]
    assert sorted(cache.list()) == ["0123456789ab/p1.parquet", "0123456789ab/p9.parquet"]
    for log in ("", "samples", "rejected"):
        for shard in ShardLog(store, log).commits():
            rows = ShardLog(store, log).read_table(shard).to_pylist()  # checks the hash, too
            sound = "audio_ids_concat" if log == "samples" else "codes"
            loud = [one["utterance_id"] for one in rows if one[sound] == SOUND]
            assert loud == {"": ["kept"], "samples": ["kept", "nobody"], "rejected": []}[log]
    assert not find_withdrawn(store, [cache], REVOKED).shards
    assert remove_withdrawn(store, [cache], REVOKED).files == []
    assert everything(store) == left, "done again it does nothing"


class Dies:
    """Lets a store write and delete so many times in all, and then the process has gone."""

    def __init__(self, patch: pytest.MonkeyPatch, kind: type, after: int) -> None:
        self.left = after
        for name in ("put", "delete"):
            patch.setattr(kind, name, self.counted(getattr(kind, name)))

    def counted(self, really: Callable[..., None]) -> Callable[..., None]:
        def counts(*given: object) -> None:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            really(*given)

        return counts


def test_a_removal_that_died_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every other write and deletion, one after another: what is left at the end is the same."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    for after in range(0, 40, 2):
        store, cache = (open_store(str(tmp_path / f"{name}-{after}")) for name in ("run", "cache"))
        run_of(store, cache)
        with monkeypatch.context() as patch:
            stop = Dies(patch, type(store), after)
            with suppress(KeyboardInterrupt):
                remove_withdrawn(store, [cache], REVOKED)
        remove_withdrawn(store, [cache], REVOKED)
        assert [key for key in store.list() if key.endswith((".flac", ".html"))] == ["audio/kept.flac"]
        for prefix in ("", "samples", "rejected"):
            log = ShardLog(store, prefix)
            assert list(log.orphans()) == []
            assert not find_withdrawn(store, [cache], REVOKED).shards
        assert sorted(cache.list()) == ["0123456789ab/p1.parquet", "0123456789ab/p9.parquet"]
        if stop.left:
            break
    assert stop.left, "it never came to an end"
    assert after > 10


def test_a_voice_nobody_has_named_is_not_touched(place: tuple[Store, Store]) -> None:
    before = everything(place[0]) | everything(place[1])
    nothing = remove_withdrawn(place[0], [place[1]], frozenset({"c-3"}))
    assert (nothing.shards, nothing.files, nothing.voices, nothing.unspoken) == ({}, [], [], 0)
    assert everything(place[0]) | everything(place[1]) == before
