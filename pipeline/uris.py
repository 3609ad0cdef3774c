"""Names of stored things: URIs, keys, and how a message shows them. Pure; nothing here opens anything."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from urllib.parse import quote, unquote, urljoin

from pipeline.errors import RowError

LOCAL_SCHEMES = frozenset({"", "file"})
HTTP_SCHEMES = frozenset({"http", "https"})
OBJECT_SCHEMES = frozenset({"s3", "gs", "gcs", "az", "abfs", "memory"})  # memory: for tests
_LINK = re.compile(r"\w[\w+.-]*://[^\s'\"<>]+")
_CHAIN = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.-]*://)")  # not the colons of an IPv6 address
_SHORTEST_SECRET = 4  # shorter values are no secrets, and taking them out would spoil the message
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
            f"{shown(ref)!r}: a manifest on {base_scheme} cannot name local files; use relative paths",
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
    """Whether `bucket/some/folder` is plain; unlike a key's, its parts may begin with a dot.

    No `key:secret@bucket`: a run's address is written into its files.
    """
    return "@" not in path.partition("/")[0] and all(
        part not in {".", ".."} and is_key(part.lstrip(".")) for part in path.split("/")
    )


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
    """The URI for a message: without user, password and (signed) query, also of every part of a chain."""
    return "::".join(map(_shown_part, _CHAIN.split(uri)))


def has_secrets(uri: str) -> bool:
    """Whether a URI carries what no file or log may hold: such a one cannot be a setting."""
    return shown(uri) != uri


def complaint(uri: str, error: BaseException, advice: str) -> str:
    """What an exception says of a URI, in one line without the secrets that URIs may carry."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    # first what this URI is known to hold, however it is written: it may hold blanks and quotes
    for secret in _secrets_of(uri):
        text = text.replace(secret, "***")
    text = _LINK.sub(lambda match: shown(match[0]), " ".join(text.split()))
    return f"{shown(uri)}: {type(error).__name__}: {text[:300]}; {advice}"


def _shown_part(uri: str) -> str:
    before, separator, rest = uri.partition("://")
    if not separator or before.lower().endswith("file"):
        return uri
    is_http = before.lower().endswith(("http", "https"))
    rest = rest[len(_user_of(rest, is_http)) :].partition("?")[0]
    return f"{before}://{rest.partition('#')[0] if is_http else rest}"


def _user_of(rest: str, is_http: bool) -> str:
    """`user:password@`, or "". With a slash in it, as AWS has them, it ends at the last @."""
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    if at:
        return f"{user}@" if is_http or ":" in user else ""  # abfs://container@account
    _, colon, port = authority.rpartition(":")
    if colon and not re.fullmatch(r"[0-9]{0,5}", port) and not authority.endswith("]"):
        head = rest.partition("?")[0]
        user, at, _ = (head if "@" in head else rest).rpartition("@")
    return user + at


def _secrets_of(uri: str) -> list[str]:
    """Values in a URI that no message may repeat, longest first, as written, decoded and encoded."""
    found: set[str] = set()
    for part in _CHAIN.split(uri):
        scheme, rest = split_uri(part)
        if scheme in LOCAL_SCHEMES:
            continue
        user = _user_of(rest, scheme in HTTP_SCHEMES)
        query = rest[len(user) :].partition("?")[2]
        found |= {user[:-1], user[:-1].partition(":")[2], query}
        found |= {pair.partition("=")[2] for pair in re.split("[&;#]", query)}
    found |= {unquote(secret) for secret in found}
    found |= {quote(secret, safe="") for secret in found} | {quote(secret) for secret in found}
    return sorted((secret for secret in found if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True)
