"""What a run's folder may lose, and what it must never lose."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.commit import ShardLog
from pipeline.errors import ConfigError
from pipeline.garbage import age_in_seconds, collect_garbage
from pipeline.local_files import temporary_file
from pipeline.storage import LocalStore, S3Store, open_store

DAY_S = 24 * 3600.0
ORPHAN = f"data/s1/{'0' * 64}.parquet"
PREFIXES = ["", "samples/", "rejected/", "takes/0/", "takes/1/", "takes/1/samples/"]


def table(payload: int) -> pa.Table:
    return pa.table({"row": [1, 2], "payload": [payload] * 2})


def aged(folder: Path, seconds: float) -> None:
    for path in folder.rglob("*"):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def run_with_orphans(uri: str) -> tuple[list[str], list[str]]:
    """Keys of orphans and of everything else."""
    store = open_store(uri)
    kept = ["run.json", "plan/00000.parquet", "data/s1/notes.txt", "audio/u1.flac", "data/voices/a.csv"]
    for key in kept:
        store.put(key, b"x")
    orphans = []
    for prefix in PREFIXES:
        commit = ShardLog(store, prefix.rstrip("/")).write_shard("s0", table(1), "a", {})
        kept += [prefix + commit.key, f"{prefix}commit/s0.json"]
        for shard in ("s0", "s1"):  # one with a commit that names another object, one without
            orphans.append(f"{prefix}data/{shard}/{'0' * 64}.parquet")
            store.put(orphans[-1], b"x")
    return sorted(orphans), sorted(kept)


def test_orphans_go_after_their_grace_and_nothing_else_does(tmp_path: Path) -> None:
    orphans, kept = run_with_orphans(str(tmp_path))
    aged(tmp_path, DAY_S - 60)
    assert collect_garbage(str(tmp_path), DAY_S, delete=True) == []
    aged(tmp_path, 120)
    assert collect_garbage(str(tmp_path), DAY_S, delete=False) == orphans
    assert sorted(open_store(str(tmp_path)).list()) == sorted(orphans + kept), "only shown"
    assert collect_garbage(str(tmp_path), DAY_S, delete=True) == orphans
    assert sorted(open_store(str(tmp_path)).list()) == kept
    assert collect_garbage(str(tmp_path), DAY_S, delete=True) == []


def test_on_s3_by_the_store_s_own_times(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    orphans, kept = run_with_orphans(f"{s3}/run")
    assert collect_garbage(f"{s3}/run", DAY_S, delete=True) == []
    young, really = orphans[3], S3Store.modified
    shift = {key: -2 * DAY_S for key in [*orphans, *kept] if key != young}
    monkeypatch.setattr(S3Store, "modified", lambda self, key: really(self, key) + shift.get(key, 0.0))
    old = [key for key in orphans if key != young]
    assert collect_garbage(f"{s3}/run", DAY_S, delete=True) == old
    assert sorted(open_store(f"{s3}/run").list()) == sorted([*kept, young])


def test_half_written_files_of_killed_writers(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("run.json", b"{}")
    with temporary_file(tmp_path / "data" / "s1" / "x", b"half") as partial:
        name = partial.relative_to(tmp_path).as_posix()
        assert collect_garbage(str(tmp_path), DAY_S, delete=True) == []
        aged(tmp_path, 2 * DAY_S)
        assert collect_garbage(str(tmp_path), DAY_S, delete=False) == [name]
        assert partial.exists()
        assert collect_garbage(str(tmp_path), DAY_S, delete=True) == [name]
        assert not partial.exists()


def test_notes_of_attempts_go_once_the_run_is_whole(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("run.json", b"{}")
    notes = ["attempts/Speak/s0/shard/0", "takes/1/attempts/Speak/s0/shard/0"]
    for key in notes:
        store.put(key, b"")
    aged(tmp_path, 2 * DAY_S)
    assert collect_garbage(str(tmp_path), DAY_S, delete=True) == [], "they are counted on"
    store.put("_SUCCESS", b"{}")
    store.put("attempts/Speak/s1/shard/0", b"")  # a worker that outlived the run
    assert collect_garbage(str(tmp_path), DAY_S, delete=False) == notes
    assert collect_garbage(str(tmp_path), DAY_S, delete=True) == notes
    assert sorted(store.list()) == ["_SUCCESS", "attempts/Speak/s1/shard/0", "run.json"]


def test_a_driver_that_takes_an_orphan_up_again_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run killed yesterday before a commit, resumed while the garbage is collected."""
    store = open_store(str(tmp_path))
    log = ShardLog(store)
    left = log.write_shard("s1", table(1), "yesterday", {})
    store.delete("commit/s1.json")
    aged(tmp_path, 2 * DAY_S)
    really_list = ShardLog.orphans

    def resumed_after_the_listing(self: ShardLog):
        found = list(really_list(self))
        if not self.prefix:
            assert [key for key, _ in found] == [left.key]
            log.write_shard("s1", table(1), "today", {})
        return iter(found)

    monkeypatch.setattr(ShardLog, "orphans", resumed_after_the_listing)
    assert collect_garbage(str(tmp_path), DAY_S, delete=True) == []
    [commit] = log.commits()
    assert log.read_table(commit).equals(table(1))


def test_a_grace_that_would_hit_a_writer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give an hour or more"):
        collect_garbage(str(tmp_path), 60, delete=False)
    assert list(tmp_path.iterdir()) == [], "nothing was even tried"


def test_a_writer_whose_data_went_while_it_was_stopped_puts_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path))
    log = ShardLog(store)
    really_create = type(store).create

    def collected_before_the_commit(self, key: str, data: bytes) -> bool:
        for stored in list(self.list("data")):
            self.delete(stored)
        return really_create(self, key, data)

    monkeypatch.setattr(type(store), "create", collected_before_the_commit)
    commit = log.write_shard("s1", table(1), "a", {})
    assert log.read_table(commit).equals(table(1))


def test_a_writer_that_commits_while_a_deletion_is_under_way_keeps_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt died yesterday between data and commit; today's makes the same bytes."""
    store = open_store(str(tmp_path))
    log = ShardLog(store)
    [orphan] = [log.write_shard("s0", table(1), "a", {}).key]
    store.delete("commit/s0.json")
    aged(tmp_path, 2 * DAY_S)
    delete = LocalStore.delete

    def late(store: LocalStore, key: str) -> None:
        if key == orphan:
            monkeypatch.setattr(LocalStore, "delete", delete)
            assert log.write_shard("s0", table(1), "b", {}).attempt == "b"  # looks, and finds its data there
        delete(store, key)

    monkeypatch.setattr(LocalStore, "delete", late)
    collect_garbage(str(tmp_path), DAY_S, delete=True)
    [commit] = log.commits()
    assert log.read_table(commit).equals(table(1))


def test_ages() -> None:
    assert [age_in_seconds(text) for text in ("90m", "24h", "7d")] == [5400.0, 86400.0, 604800.0]
    for text in ("", "h", "24", "-1h", "1.5h", "24 h", "1w", "9" * 400 + "d"):
        with pytest.raises(ConfigError, match="is no age"):
            age_in_seconds(text)
