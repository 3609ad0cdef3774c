"""References of a programme's voices, kept in its folder by their content: a changed one is another voice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from pipeline.config import CheckConfig, RunConfig
from pipeline.errors import ConfigError, RowError
from pipeline.sources import read_source
from pipeline.storage import Store
from pipeline.uri_rules import rules_of
from pipeline.uris import resolve_uri

FOLDER = "voices"


@dataclass(frozen=True, slots=True)
class Reference:
    """A voice as rows name it: its file in the programme's folder, what is said there, whose consent there
    is."""

    key: str
    text: str | None
    consent_id: str | None = None


def keep_reference(store: Store, base_uri: str, ref: str, check: CheckConfig, where: str) -> str:
    """Copies the reference that `ref` means in the file `base_uri`; its key. Raises ConfigError."""
    data = read_reference(base_uri, ref, check, where)
    return keep_bytes(store, data, PurePosixPath(ref).suffix.lower())


def read_reference(base_uri: str, ref: str, check: CheckConfig, where: str) -> bytes:
    """Raises ConfigError for what is not there, too large, or may not be read."""
    try:
        return read_source(resolve_uri(base_uri, ref), check.max_prompt_bytes, rules_of(check))
    except RowError as error:
        raise ConfigError(f"{where}: {error.message}") from error


def keep_bytes(store: Store, data: bytes, suffix: str) -> str:
    """Keeps a reference that is at hand; its key. An odd suffix is left out."""
    plain = suffix if suffix.isascii() and suffix[1:].isalnum() and len(suffix) <= 5 else ""
    key = f"{FOLDER}/{hashlib.sha256(data).hexdigest()[:16]}{plain}"
    if not store.exists(key):
        store.put(key, data)
    return key


def with_own_references(config: RunConfig, store: Store) -> RunConfig:
    """Where a job restricts what rows may name, the copies that it has made itself are among it."""
    if not config.check.allowed_prefixes:
        return config
    allowed = [*config.check.allowed_prefixes, f"{store.uri}/{FOLDER}/"]
    return replace(config, check=replace(config.check, allowed_prefixes=allowed))
