"""Files of this machine: written whole or not at all, created once. What `LocalStore` stands on."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_PARTIAL = ".partial"
_COPIED_BYTES = 2**20


def regular_file(path: Path) -> Path:
    if path.exists() and not path.is_file():  # a pipe would block for ever
        raise IsADirectoryError(errno.EISDIR, "not a regular file")
    return path


@contextmanager
def temporary_file(path: Path, data: bytes | Path) -> Iterator[Path]:
    """The bytes, or those of another file, on disk beside `path` under a name that `list` does not show; gone
    at the end."""
    _make_folder(path.parent)
    temporary = path.parent / f".{uuid.uuid4().hex}{_PARTIAL}"
    try:
        _write_new(temporary, data)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def link_once(temporary: Path, path: Path, data: bytes) -> None:
    """The temporary file under its name, in one step; FileExistsError if the name is taken."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # the next best thing: still created once, but not in one step
        try:
            _write_new(path, data)
        except FileExistsError:
            raise
        except BaseException:  # the name is ours, and would be taken for whole
            path.unlink(missing_ok=True)
            raise


def _write_new(path: Path, data: bytes | Path) -> None:
    with path.open("xb") as file:
        if isinstance(data, Path):
            with data.open("rb") as source:
                shutil.copyfileobj(source, file, _COPIED_BYTES)
        else:
            file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(folder: Path) -> None:
    """With those above it, each on disk: what lies in a folder outlives a power cut no more than it does."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """A new name outlives a power cut only once its folder is on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def partial_files(top: Path) -> Iterator[Path]:
    """What killed writers left in a folder and below it: never under a name that `list` shows."""
    for folder, _, names in os.walk(top, onerror=raise_unless_missing):
        yield from (
            Path(folder, name) for name in sorted(names) if name.endswith(_PARTIAL) and name[0] == "."
        )
