"""From what a user calls a checkpoint to a local folder and an id that changes when its contents do."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.engine.embedded import MINI, NOTES, STANDIN, embedded_folder
from pipeline.errors import CheckpointError

_ID_DIGITS = 12
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# pickled weights (.bin, .pt, .pth) are never even downloaded
_CONFIG_FILES = ["*.json"]
_WEIGHT_FILES = ["*.safetensors"]
_HASHED = frozenset({".json", ".safetensors", ".txt", ".model"})


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where a checkpoint lies, and its id, `name@revision`."""

    folder: Path
    id: str


def locate(
    spec: str,
    revision: str | None = None,
    *,
    subfolder: str | None = None,
    weights: bool = True,
    known_id: str | None = None,
) -> ModelFiles:
    """The files of `mini`, `standin`, a local folder or a hub id; `weights=False` fetches configs only.

    `subfolder` is used where it holds a `config.json`. The revision of a local folder is a sha256 over
    its configs, tokenizer and weights; a hub id must come with a commit, which is its id: a branch or a tag
    can move. `known_id` is what another process has found: gigabytes of weights are not read again for it.
    Raises CheckpointError: not found, not pinned, or a folder that is not at `revision`.
    """
    if (embedded := embedded_folder(spec)) is not None:
        return _local(embedded, revision, subfolder, known_id)
    path = Path(spec).expanduser()
    if path.is_dir():
        return _local(path, revision, subfolder, known_id)
    if not _HUB_ID.fullmatch(spec):
        raise CheckpointError(
            f"no such checkpoint: {spec} is neither {MINI!r}, {STANDIN!r}, a folder nor a hub id (owner/name)"
        )
    if revision is None or not _COMMIT.fullmatch(revision):
        given = "has no revision" if revision is None else f"revision {revision!r} is not a commit"
        raise CheckpointError(
            f"{spec}: {given}; pin a commit of 40 hex digits, so that every run loads the same weights"
        )
    return _hub(spec, revision, subfolder, weights)


def is_own(spec: str) -> bool:
    """Whether that is an embedded checkpoint, or a folder with one that was trained as they are."""
    folder = embedded_folder(spec) or Path(spec).expanduser()
    return (folder / "config.json").is_file() and read_config(folder).get("voicemill_name") in NOTES


def _local(root: Path, revision: str | None, subfolder: str | None, known_id: str | None) -> ModelFiles:
    folder = _descend(root, subfolder)
    if known_id is not None:
        return ModelFiles(folder, known_id)
    config = read_config(folder)
    found = folder_revision(folder)
    if revision is not None and not found.startswith(revision[:_ID_DIGITS]):
        raise CheckpointError(f"{root}: revision {revision} is asked for, but the contents are {found}")
    return ModelFiles(folder, f"{config.get('voicemill_name', folder.resolve().name)}@{found}")


def _hub(spec: str, revision: str, subfolder: str | None, weights: bool) -> ModelFiles:
    from huggingface_hub import snapshot_download

    patterns = _CONFIG_FILES + (_WEIGHT_FILES if weights else [])
    try:
        folder = Path(snapshot_download(spec, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub's client lets those of its HTTP library through
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{spec}@{revision}: cannot be fetched from the hub: {reason}") from error
    return ModelFiles(_descend(folder, subfolder), f"{spec}@{revision[:_ID_DIGITS]}")


def _descend(root: Path, subfolder: str | None) -> Path:
    if subfolder is not None and (root / subfolder / "config.json").is_file():
        return root / subfolder
    return root


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a checkpoint folder. Raises CheckpointError."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: no readable config.json: is this a checkpoint folder?") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{folder}: config.json is not a JSON object")
    return config


def folder_revision(folder: Path) -> str:
    """sha256, 12 hex digits, over the names and contents of a checkpoint's files, `semantic/` included."""
    files = sorted(
        path
        for pattern in ("*", "semantic/*")
        for path in folder.glob(pattern)
        if path.suffix in _HASHED and path.is_file()
    )
    digest = hashlib.sha256()
    for path in files:
        stat = path.stat()
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(_file_digest(path, stat.st_size, stat.st_mtime_ns))
    return digest.hexdigest()[:_ID_DIGITS]


@lru_cache(maxsize=256)
def _file_digest(path: Path, size: int, mtime_ns: int) -> bytes:
    # size and time are in the key only: gigabytes of weights are read once per process
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
