"""Folders and files that are to be written, looked at before anything is spent.

A run's folder must do more than take files: its store must keep the promises that commits rest on.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.storage import ObjectMissing, Store, open_store
from pipeline.uris import is_key, parent_uri, shown

_TRIALS = "trial/"
_TRIAL = b"voicemill tries what this store can do"


def open_destination(uri: str) -> Store:
    """The store at `uri`, where something can be written. Raises ConfigError, StorageError."""
    store = open_store(uri)
    inside = store.local_path("probe")
    if inside is not None:
        _check_folder(uri, inside.parent)
        return store
    try:
        # only a write tells whether there is a bucket; this one changes nothing
        store.delete("probe")
    except ObjectMissing as error:
        raise ConfigError(f"{shown(uri)}: no such bucket; create it or name another") from error
    return store


def open_run_folder(uri: str) -> Store:
    """The store at `uri`, after a trial of what commits rest on. Raises ConfigError, StorageError.

    Nothing of the trial stays, and no folder is made. It costs a handful of small requests.
    """
    store = open_destination(uri)
    with _trial_place(store) as place:
        check_store(place, uri)
    return store


def is_trial(key: str) -> bool:
    """Whether it is of a trial: one whose process was killed leaves its object."""
    return key.startswith(_TRIALS)


def check_store(store: Store, named: str | None = None) -> None:
    """Raises ConfigError for a store without create-once, read-after-write or list-after-write."""
    where = shown(named or store.uri)
    with _trial_object(store) as key:
        if store.get(key) != _TRIAL:
            raise ConfigError(f"{where}: what is written is not what is read; use another store for runs")
        if store.create(key, b"another's") or store.get(key) != _TRIAL:
            raise ConfigError(
                f"{where}: the store overwrites what may only be created once (it ignores If-None-Match), so "
                "two workers could both commit a shard; use a store with conditional writes"
            )
        if key not in store.list(_TRIALS.rstrip("/")):
            raise ConfigError(f"{where}: a new object is missing in its listing; use another store for runs")


def store_time(store: Store) -> float:
    """Now, in Unix seconds by the clock that the store's `modified` tells."""
    with _trial_place(store) as place, _trial_object(place) as key:
        return place.modified(key)


@contextmanager
def _trial_place(store: Store) -> Iterator[Store]:
    """On a disk a hidden folder beside what is to be made, on the same filesystem; it goes again."""
    inside = store.local_path("trial")
    if inside is None:
        yield store
        return
    with tempfile.TemporaryDirectory(prefix=".voicemill-", dir=_nearest(inside.parent)) as folder:
        yield open_store(folder)


@contextmanager
def _trial_object(store: Store) -> Iterator[str]:
    key = f"{_TRIALS}{uuid.uuid4().hex}"
    try:
        if not store.create(key, _TRIAL):
            raise ConfigError(f"{shown(store.uri)}: a new name is taken already; use another store for runs")
        yield key
    finally:
        store.delete(key)


def file_destination(path: str) -> tuple[Store, str]:
    """The folder, where something can be written, and the name of a file in it. Raises as above."""
    name = path.rpartition("/")[2]
    if not is_key(name):
        raise ConfigError(f"{path!r} does not name a file to write; give one that does not begin with a dot")
    store = open_destination(parent_uri(path))
    place = store.local_path(name)
    if place is not None and place.is_dir():
        raise ConfigError(f"{path!r} is a folder; name a file in it")
    return store, name


def _check_folder(uri: str, folder: Path) -> None:
    try:
        folder = _nearest(folder)
        if not folder.is_dir():
            raise ConfigError(f"{uri}: {folder} is not a folder; name a folder, or a place for a new one")
        os.rmdir(tempfile.mkdtemp(prefix=".voicemill-", dir=folder))
    except OSError as error:
        raise ConfigError(
            f"{uri}: cannot be written to ({folder}: {error.strerror}); name another folder"
        ) from error


def _nearest(folder: Path) -> Path:
    """The folder itself or the nearest above it that is there."""
    while not _is_there(folder):
        folder = folder.parent
    return folder


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
