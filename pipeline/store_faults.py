"""What filesystems and object stores raise, as one line that names the object and carries no secrets."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, TypeVar

from pipeline import uris
from pipeline.errors import StorageError, VoicemillError
from pipeline.uris import shown

T = TypeVar("T")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class ObjectMissing(StorageError):
    """Nothing is stored under that key or URI."""


@contextmanager
def reported(uri: str, at: T) -> Iterator[T]:
    """Turns what a backend raises into one line that names the object and carries no secrets.

    Without its cause: a backend's own words may repeat a signed link, and --debug shows all of a chain.
    """
    try:
        yield at
    except VoicemillError:
        raise
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ObjectMissing(uris.complaint(uri, error, "check the name")) from None
    except PermissionError as error:
        raise StorageError(uris.complaint(uri, error, "check credentials and permissions")) from None
    except TimeoutError:
        raise StorageError(
            f"{shown(uri)}: no answer in time; see that it can be reached, run again"
        ) from None
    except Exception as error:  # each backend has its own family of exceptions
        raise StorageError(uris.complaint(uri, error, _advice(error))) from None


def _advice(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in _FULL:
        return "make room there, then run the same command again"
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):  # botocore's
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role"
    return "see that it can be reached, run again"


def reported_file(file: BinaryIO, uri: str) -> BinaryIO:
    """The file, open for reading, whose faults are those of `reported`, also after its opening."""
    return io.BufferedReader(_ReportedFile(file, uri))


class _ReportedFile(io.RawIOBase):
    def __init__(self, file: BinaryIO, uri: str) -> None:
        self._file, self._uri = file, uri

    def readinto(self, buffer: Any) -> int:
        with reported(self._uri, self._file) as file:
            data = file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with reported(self._uri, self._file) as file:
            return file.seek(offset, whence)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()
