"""Folders and files that are to be written, looked at before anything is spent."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.storage import ObjectMissing, Store, open_store
from pipeline.uris import is_key, parent_uri, shown


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
        while not _is_there(folder):
            folder = folder.parent
        if not folder.is_dir():
            raise ConfigError(f"{uri}: {folder} is not a folder; name a folder, or a place for a new one")
        os.rmdir(tempfile.mkdtemp(prefix=".voicemill-", dir=folder))
    except OSError as error:
        raise ConfigError(
            f"{uri}: cannot be written to ({folder}: {error.strerror}); name another folder"
        ) from error


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
