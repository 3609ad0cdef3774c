"""Files that are created once: what a full disk, a rival or a power cut may leave of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pipeline import local_files, storage
from pipeline.errors import StorageError
from pipeline.storage import open_store


def test_without_hard_links_a_full_disk_leaves_no_half_of_what_is_created_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    fsync, synced = os.fsync, []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:  # the first is that of the temporary file
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os, "fsync", full)
    store = open_store(str(tmp_path))
    with pytest.raises(StorageError, match="No space left"):
        store.create("commit", b"a whole record")
    assert os.listdir(tmp_path) == []
    assert store.create("commit", b"a whole record")


def test_a_name_that_is_freed_while_it_is_refused_can_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver's lease that is released at that moment."""
    store = open_store(str(tmp_path))
    store.create("lease", b"the other's")
    link_once = local_files.link_once

    def refused_then_freed(temporary: Path, path: Path, data: bytes) -> None:
        try:
            link_once(temporary, path, data)
        except FileExistsError:
            path.unlink()
            raise

    monkeypatch.setattr(storage, "link_once", refused_then_freed)
    assert store.create("lease", b"mine")
    assert store.get("lease") == b"mine"


def test_new_folders_are_on_disk_before_what_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    sync = local_files.sync_folder
    monkeypatch.setattr(local_files, "sync_folder", lambda folder: (synced.append(folder), sync(folder)))
    open_store(str(tmp_path)).put("data/s1/x.parquet", b"x")
    assert {tmp_path, tmp_path / "data"} <= {*synced}
    synced.clear()
    open_store(str(tmp_path)).put("data/s1/y.parquet", b"y")
    assert synced == []
