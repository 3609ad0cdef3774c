"""What a store must be able to do is tried before a run begins, and leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.destination import check_store, is_trial, open_run_folder, store_time
from pipeline.errors import ConfigError, StorageError
from pipeline.storage import LocalStore, S3Store, open_store


@dataclass(frozen=True)
class IgnoresConditions(LocalStore):
    """As an S3 server that does not know If-None-Match."""

    def create(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


@dataclass(frozen=True)
class Forgets(LocalStore):
    def get(self, key: str) -> bytes:
        return b"old"


@dataclass(frozen=True)
class ListsLate(LocalStore):
    def list(self, prefix: str = "") -> Iterator[str]:
        return iter(())


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (IgnoresConditions, "ignores If-None-Match"),
        (Forgets, "not what is read"),
        (ListsLate, "missing in its listing"),
    ],
)
def test_a_store_that_breaks_a_promise_is_refused(tmp_path: Path, kind: type[LocalStore], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_store(kind(tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "cleaned up"


def test_a_good_place_is_left_as_it_was(tmp_path: Path) -> None:
    assert open_run_folder(str(tmp_path / "a" / "b")) == LocalStore(tmp_path / "a" / "b")
    (tmp_path / "there").mkdir()
    open_run_folder(str(tmp_path / "there"))
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_good_bucket_is_left_as_it_was(s3: str) -> None:
    assert open_run_folder(f"{s3}/run") == S3Store(f"{s3.removeprefix('s3://')}/run")
    assert list(open_store(s3).list()) == []


def test_a_bucket_that_overwrites_is_refused_by_name(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def overwrite(self: S3Store, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True

    monkeypatch.setattr(S3Store, "create", overwrite)
    with pytest.raises(ConfigError, match=f"^{s3}/run: the store overwrites what may only be created once"):
        open_run_folder(f"{s3}/run")


def test_what_a_killed_trial_leaves_is_known(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: S3Store, key: str) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "get", killed)
        patch.setattr(S3Store, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            check_store(open_store(f"{s3}/run"))
    [left] = open_store(f"{s3}/run").list()
    assert is_trial(left)
    assert not any(map(is_trial, ("run.json", "data/trial/x", "trials")))
    open_run_folder(f"{s3}/run")


def test_without_room_for_a_trial_it_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: LocalStore, key: str, data: bytes) -> bool:
        raise StorageError("x: No space left on device; make room there")

    monkeypatch.setattr(LocalStore, "create", refuse)
    with pytest.raises(StorageError, match="make room"):
        open_run_folder(str(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_the_store_s_time_is_that_of_its_objects(tmp_path: Path, s3: str) -> None:
    for store in (open_store(str(tmp_path / "run")), open_store(f"{s3}/run")):
        store.put("before", b"")
        store.create("x", b"")
        # S3 tells whole seconds, a filesystem steps of a few milliseconds
        assert store_time(store) >= store.modified("before")
        assert sorted(store.list()) == ["before", "x"]
