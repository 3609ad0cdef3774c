"""The one door to filesystems and object stores.

A `Store` is a folder of objects: a local folder or an S3 bucket and prefix. It holds names only, so it
pickles without secrets and connects wherever it is used. Credentials, region and endpoint come from
the standard environment and files (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, ...), read by botocore.
The free functions at the end read whatever URI a manifest names.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from pipeline import uris
from pipeline.errors import ConfigError, RowError, StorageError
from pipeline.fetching import fetch
from pipeline.local_files import (
    link_once,
    partial_files,
    raise_unless_missing,
    regular_file,
    sync_folder,
    temporary_file,
)
from pipeline.redaction import keep_secrets_out_of_logs
from pipeline.store_faults import ObjectMissing, reported, reported_file
from pipeline.uri_rules import UriRules
from pipeline.uris import check_key, is_key, parent_uri, resolve_uri, shown

__all__ = ["ObjectMissing", "Store", "open_store", "open_uri", "parent_uri", "read_uri", "resolve_uri"]

T = TypeVar("T")

# A hung connection costs one minute, not the night: the defaults of fsspec wait up to five.
_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
# botocore's retries (throttling, 5xx, resets) back off to about a minute in all: a store that restarts
# is outlived. s3fs repeats around them for answers cut short, which botocore does not see.
_S3_ATTEMPTS = 8
_S3_BODY_ATTEMPTS = 3
# Those two together would wait for a store that never answers for half an hour.
_OPERATION_S = 600
_FILE_S = 6 * 3600  # gigabytes over a slow line
_CREATE_ATTEMPTS = 3
_READ_AHEAD_BYTES = 2**20  # s3fs would fetch 50 MiB around every small read
_MISSING_SLASH = re.compile(r"(?:s3a?|gs|gcs|az|abfs|https?|file):/?[^/]", re.IGNORECASE)
_EXTRAS = {"gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure"}
_SINGLE_PUT_BYTES = 5 * 2**30  # the largest object that one PUT may write


class Store(ABC):
    """Objects under keys: relative, `/`-separated, no part empty or beginning with a dot.

    A bad key is a ValueError; every failure to reach the store is a StorageError that names the object.
    """

    @property
    @abstractmethod
    def uri(self) -> str:
        """What `open_store` opens this store by, in any process and working folder."""

    @abstractmethod
    def get(self, key: str) -> bytes:
        """The whole object. Raises ObjectMissing."""

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Writes or replaces the object; readers see the old bytes or the new, never a part."""

    @abstractmethod
    def put_file(self, key: str, file: Path) -> None:
        """As `put`, what a file of this machine holds; it is never whole in memory."""

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Writes the object unless there is one. True when the key now holds exactly `data`.

        A refusal is settled by reading back: a writer whose own success was lost on the way finds its
        bytes. So callers who race with equal bytes all succeed; to tell them apart, put a name in.
        """

    @abstractmethod
    def size(self, key: str) -> int:
        """Bytes of the object. Raises ObjectMissing."""

    @abstractmethod
    def modified(self, key: str) -> float:
        """When it was written last, in Unix seconds of the store's own clock. Raises ObjectMissing."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """Keys in the folder `prefix` and below it, sorted; none when there is no such folder."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Removes the object; no error when there is none."""

    def delete_folder(self, folder: str) -> None:
        """Removes every object under it."""
        for key in list(self.list(folder)):
            self.delete(key)

    @abstractmethod
    def open(self, key: str) -> BinaryIO:
        """The object for reading at random offsets. Raises ObjectMissing."""

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except ObjectMissing:
            return False
        return True

    def partial_files(self) -> Iterator[Path]:
        """What writers who were killed left on this machine's disk, if the store is there."""
        return iter(())

    def local_path(self, key: str) -> Path | None:
        """Where the object lies on this machine's disk, if it does."""
        check_key(key)
        return None


@dataclass(frozen=True, slots=True)
class LocalStore(Store):
    root: Path  # absolute

    @property
    def uri(self) -> str:
        return str(self.root)

    def get(self, key: str) -> bytes:
        with self._at(key) as path:
            return path.read_bytes()

    def put(self, key: str, data: bytes) -> None:
        self._put(key, data)

    def put_file(self, key: str, file: Path) -> None:
        self._put(key, file)

    def _put(self, key: str, data: bytes | Path) -> None:
        with self._at(key) as path, temporary_file(path, data) as temporary:
            temporary.replace(path)
            sync_folder(path.parent)

    def create(self, key: str, data: bytes) -> bool:
        with self._at(key) as path, temporary_file(path, data) as temporary:
            while True:
                try:
                    link_once(temporary, path, data)
                except FileExistsError:
                    with suppress(FileNotFoundError):  # deleted since: the name is free
                        return path.read_bytes() == data
                else:
                    sync_folder(path.parent)
                    return True

    def size(self, key: str) -> int:
        with self._at(key) as path:
            return regular_file(path).stat().st_size

    def modified(self, key: str) -> float:
        with self._at(key) as path:
            return regular_file(path).stat().st_mtime

    def list(self, prefix: str = "") -> Iterator[str]:
        top = self.local_path(prefix) if prefix else self.root
        with reported(str(top), top):
            keys = [
                Path(folder, name).relative_to(self.root).as_posix()
                for folder, _, names in os.walk(top, onerror=raise_unless_missing)
                for name in names
            ]
        yield from sorted(key for key in keys if is_key(key))

    def delete(self, key: str) -> None:
        with self._at(key) as path:
            path.unlink(missing_ok=True)

    def open(self, key: str) -> BinaryIO:
        with self._at(key) as path:
            return reported_file(path.open("rb"), str(path))

    def partial_files(self) -> Iterator[Path]:
        with reported(str(self.root), self.root):
            yield from partial_files(self.root)

    def local_path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _at(self, key: str) -> AbstractContextManager[Path]:
        path = self.local_path(key)
        return reported(str(path), path)


@dataclass(frozen=True, slots=True)
class S3Store(Store):
    root: str  # bucket, or bucket/prefix

    @property
    def uri(self) -> str:
        return f"s3://{self.root}"

    def get(self, key: str) -> bytes:
        with self._at(key) as path:
            # one stream: with more, s3fs first asks for the size
            return cast(bytes, _filesystem("s3").cat_file(path, max_concurrency=1, timeout=_OPERATION_S))

    def put(self, key: str, data: bytes) -> None:
        with self._at(key) as path:
            _filesystem("s3").pipe_file(path, data, timeout=_OPERATION_S)

    def put_file(self, key: str, file: Path) -> None:
        with self._at(key) as path:
            _filesystem("s3").put_file(str(file), path, timeout=_FILE_S)

    def create(self, key: str, data: bytes) -> bool:
        attempt = 1
        while True:
            try:
                with self._at(key) as path:
                    # never in parts: some servers do not look at the condition when parts are joined
                    _filesystem("s3").pipe_file(
                        path, data, mode="create", chunksize=_SINGLE_PUT_BYTES, timeout=_OPERATION_S
                    )
                return True
            except StorageError as refusal:
                # Servers differ in how they refuse (412 as FileExistsError or EINVAL, 409 while another
                # writes), and a lost answer looks the same: only what is stored tells.
                try:
                    return self.get(key) == data
                except ObjectMissing:
                    if attempt == _CREATE_ATTEMPTS:
                        raise refusal from None
            time.sleep(0.1 * attempt)
            attempt += 1

    def size(self, key: str) -> int:
        with self._at(key) as path:
            return int(_object_info("s3", path)["size"])

    def modified(self, key: str) -> float:
        with self._at(key) as path:
            return float(_object_info("s3", path)["LastModified"].timestamp())

    def list(self, prefix: str = "") -> Iterator[str]:
        top = f"{self.root}/{check_key(prefix)}" if prefix else self.root
        with reported(f"s3://{top}", top):
            names = _filesystem("s3").find(top, timeout=_OPERATION_S)
        keys = [name[len(self.root) + 1 :] for name in names if name.startswith(f"{top}/")]
        yield from sorted(key for key in keys if is_key(key))

    def delete(self, key: str) -> None:
        with self._at(key) as path:
            _filesystem("s3").rm_file(path, timeout=_OPERATION_S)

    def open(self, key: str) -> BinaryIO:
        with self._at(key) as path:
            return reported_file(_open_object("s3", path), f"s3://{path}")

    def _at(self, key: str) -> AbstractContextManager[str]:
        path = f"{self.root}/{check_key(key)}"
        return reported(f"s3://{path}", path)


def open_store(uri: str) -> Store:
    """The folder at a local path, `file:///...` or `s3://bucket[/prefix]`; nothing is contacted or made.

    Raises ConfigError for anything else.
    """
    scheme, rest = uris.split_uri(uri)
    if _MISSING_SLASH.match(uri):
        raise ConfigError(f"{shown(uri)!r} lacks a slash; write s3://bucket/..., or ./ before a folder")
    if rest and uris.is_local(uri) and "::" not in uri and "\0" not in uri:
        return LocalStore(uris.local_path(uri))
    if scheme == "s3" and uris.is_bucket_path(rest.rstrip("/")):
        return S3Store(rest.rstrip("/"))
    raise ConfigError(
        f"{shown(uri)!r} cannot be written to; use a local folder, file:///... or s3://bucket/..."
    )


def read_uri(uri: str, max_bytes: int) -> bytes:
    """What a local path, file, s3, gs, gcs, az or abfs URI holds; `sources.read_source` reads http(s), too.

    Raises RowError: `uri_not_found`, `uri_unreachable`, `uri_too_large`, `uri_scheme_not_allowed`.
    """
    scheme = uris.allowed_scheme(uri)
    if scheme in uris.HTTP_SCHEMES:
        raise RowError("uri_scheme_not_allowed", f"{shown(uri)!r}: it is not read from a store")
    try:
        with reported(uri, scheme):
            data = _read_at_most(uri, scheme, max_bytes + 1)
    except ObjectMissing as error:
        raise RowError("uri_not_found", str(error)) from None
    except (StorageError, ConfigError) as error:  # or a package is missing: other rows need none
        raise RowError("uri_unreachable", str(error)) from None
    if len(data) > max_bytes:
        raise RowError("uri_too_large", f"{shown(uri)}: more than {max_bytes} bytes; use a smaller file")
    return data


def open_uri(uri: str) -> BinaryIO:
    """The same URIs, and http(s), for reading at random offsets; http(s) is read whole first.

    Raises RowError `uri_scheme_not_allowed`, ObjectMissing, StorageError.
    """
    scheme = uris.allowed_scheme(uri)
    with reported(uri, scheme):
        if scheme in uris.LOCAL_SCHEMES:
            return reported_file(regular_file(uris.local_path(uri)).open("rb"), uri)
        if scheme in uris.HTTP_SCHEMES:
            # the job's own manifest: it may lie on an internal server
            return io.BytesIO(fetch(uri, sys.maxsize, UriRules(allow_private_addresses=True)))
        return reported_file(_open_object(scheme, uri), uri)


# ---- backends


def _filesystem(scheme: str) -> Any:
    return _connected(scheme, os.getpid())


@functools.lru_cache
def _connected(scheme: str, pid: int) -> Any:
    """One client per scheme and process: its connections do not survive a fork."""
    import fsspec

    keep_secrets_out_of_logs()  # of its client, which at DEBUG writes what it signs with
    options: dict[str, Any] = {}
    if scheme == "s3":
        retries = {"total_max_attempts": _S3_ATTEMPTS, "mode": "standard"}
        timeouts = {"connect_timeout": _CONNECT_TIMEOUT_S, "read_timeout": _READ_TIMEOUT_S}
        # a cached listing hides what others wrote since, and cached instances share theirs
        options = {"use_listings_cache": False, "config_kwargs": {"retries": retries, **timeouts}}
    try:
        filesystem = fsspec.filesystem(scheme, skip_instance_cache=True, **options)
    except ImportError:
        extra = _EXTRAS[scheme]
        ways = f"uv sync --extra {extra}, or pip install 'voicemill[{extra}]'"
        raise ConfigError(f"{scheme}:// needs the extra {extra}: {ways}") from None
    if scheme == "s3":
        filesystem.retries = _S3_BODY_ATTEMPTS
    return filesystem


def _object_info(scheme: str, path: str) -> dict[str, Any]:
    info: dict[str, Any] = _filesystem(scheme).info(path, timeout=_OPERATION_S)
    if info["type"] != "file":
        raise IsADirectoryError(errno.EISDIR, "a folder, not an object")
    return info


def _open_object(scheme: str, path: str) -> BinaryIO:
    _object_info(scheme, path)  # a folder would open as an empty file
    return cast(BinaryIO, _filesystem(scheme).open(path, "rb", block_size=_READ_AHEAD_BYTES))


def _read_at_most(uri: str, scheme: str, limit: int) -> bytes:
    if scheme in uris.LOCAL_SCHEMES:
        with regular_file(uris.local_path(uri)).open("rb") as file:
            return file.read(limit)
    size = min(int(_object_info(scheme, uri)["size"]), limit)
    return cast(bytes, _filesystem(scheme).cat_file(uri, start=0, end=size)) if size else b""
