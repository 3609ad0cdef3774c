"""References of a programme's voices, kept in its folder by their content: a changed one is another voice."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

from pipeline.config import CheckConfig
from pipeline.errors import ConfigError, RowError
from pipeline.sources import read_source
from pipeline.storage import Store
from pipeline.uri_rules import rules_of
from pipeline.uris import resolve_uri

FOLDER = "voices"


def keep_reference(store: Store, base_uri: str, ref: str, check: CheckConfig, where: str) -> str:
    """Copies the reference that `ref` means in the file `base_uri`; its key. Raises ConfigError."""
    try:
        data = read_source(resolve_uri(base_uri, ref), check.max_prompt_bytes, rules_of(check))
    except RowError as error:
        raise ConfigError(f"{where}: {error.message}") from error
    suffix = PurePosixPath(ref).suffix.lower()
    plain = suffix if suffix.isascii() and suffix[1:].isalnum() and len(suffix) <= 5 else ""
    key = f"{FOLDER}/{hashlib.sha256(data).hexdigest()[:16]}{plain}"
    if not store.exists(key):
        store.put(key, data)
    return key
