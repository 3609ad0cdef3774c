"""Names of stored things: URIs, keys, and how a message shows them. Pure; nothing here opens anything."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from pipeline.errors import RowError

LOCAL_SCHEMES = frozenset({"", "file"})
HTTP_SCHEMES = frozenset({"http", "https"})
OBJECT_SCHEMES = frozenset({"s3", "gs", "gcs", "az", "abfs", "memory"})  # memory: for tests
# no `?`: s3fs would cut the key there and read the rest as a version
_KEY_PART = re.compile(r"[^./\\?\x00-\x1f\x7f][^/\\?\x00-\x1f\x7f]*")


def split_uri(uri: str) -> tuple[str, str]:
    """Scheme (lower case, "" for a path) and what follows `://`."""
    scheme, separator, rest = uri.partition("://")
    if separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return scheme.lower(), rest
    return "", uri


def allowed_scheme(uri: str) -> str:
    """The scheme of a URI that a manifest may name. Raises RowError `uri_scheme_not_allowed`."""
    scheme, _ = split_uri(uri)
    if "::" in uri or scheme not in LOCAL_SCHEMES | HTTP_SCHEMES | OBJECT_SCHEMES:
        raise RowError(
            "uri_scheme_not_allowed",
            f"{shown(uri)!r}: only a local path, file, s3, gs, gcs, az, abfs, http or https can be read",
        )
    if scheme == "file" and not is_local(uri):
        raise RowError("uri_scheme_not_allowed", f"{shown(uri)!r}: write file URIs as file:///absolute/path")
    return scheme


def is_local(uri: str) -> bool:
    """Whether it is a path, or a file URI with an absolute path of this machine."""
    scheme, rest = split_uri(uri)
    return scheme == "" or (scheme == "file" and rest.startswith(("/", "localhost/")))


def local_path(uri: str) -> Path:
    """The absolute path that a local path or a file URI names."""
    scheme, rest = split_uri(uri)
    return Path(unquote(rest.removeprefix("localhost")) if scheme == "file" else uri).absolute()


def resolve_uri(base_uri: str, ref: str) -> str:
    """`ref` as a manifest at `base_uri` means it; a base that is a folder ends with `/`.

    Absolute paths and full URIs are returned as they are, relative ones are taken from the manifest's
    folder. Raises RowError `uri_scheme_not_allowed` for other schemes, chained URIs (`::`), and for
    local files in a manifest that is not local itself.
    """
    scheme = allowed_scheme(ref)
    base_scheme, base_rest = split_uri(base_uri)
    is_absolute = bool(scheme) or posixpath.isabs(ref)
    if is_absolute and scheme in LOCAL_SCHEMES and base_scheme not in LOCAL_SCHEMES:
        raise RowError(
            "uri_scheme_not_allowed",
            f"{ref!r}: a manifest on {base_scheme} cannot name files of this machine; use its relative paths",
        )
    if is_absolute:
        return ref
    if base_scheme in LOCAL_SCHEMES:
        # joined before it is made a path, which would drop the slash that marks a folder
        return os.path.normpath(local_path(base_uri[: base_uri.rfind("/") + 1] or ".") / ref)
    if base_scheme in HTTP_SCHEMES:
        return urljoin(base_uri, ref)
    bucket, _, key = base_rest.partition("/")
    folder = posixpath.join("/", posixpath.dirname(key))
    return f"{base_scheme}://{bucket}{posixpath.normpath(posixpath.join(folder, ref))}"


def parent_uri(uri: str) -> str:
    """The folder that a file or folder lies in; a bucket or a host is its own."""
    scheme, rest = split_uri(uri.rstrip("/") or "/")
    if scheme in LOCAL_SCHEMES:
        return str(local_path(uri).parent)
    return f"{scheme}://{rest.rpartition('/')[0] or rest}"


def is_bucket_path(path: str) -> bool:
    """Whether `bucket/some/folder` is plain; unlike a key's, its parts may begin with a dot."""
    return all(part not in {".", ".."} and is_key(part.lstrip(".")) for part in path.split("/"))


def is_key(key: str) -> bool:
    return all(_KEY_PART.fullmatch(part) for part in key.split("/"))


def check_key(key: str) -> str:
    """The key itself, or ValueError when it could leave the store's folder or confuse a backend."""
    if not is_key(key):
        raise ValueError(
            f"{key!r} is not a key: use relative names joined by '/', none empty or beginning with a dot, "
            "without backslashes, question marks or control characters"
        )
    return key


def shown(uri: str) -> str:
    """The URI for a message: without user, password and (signed) query."""
    scheme, _ = split_uri(uri)
    if scheme == "":
        return uri
    if scheme in HTTP_SCHEMES:
        parts = urlsplit(uri)
        return f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return re.sub(r"^(\w+://)[^/@]*:[^/@]*@", r"\1", uri)


def complaint(uri: str, error: BaseException, advice: str) -> str:
    """What an exception says of a URI, in one line without the secrets that URIs may carry."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    text = re.sub(r"\w+://[^\s'\"<>)]+", lambda match: shown(match[0]), " ".join(text.split()))
    return f"{shown(uri)}: {type(error).__name__}: {text[:300]}; {advice}"
