"""What the evaluators' checkpoints share: an id that names the exact weights, and one kind of error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.engine.model_files import folder_revision
from pipeline.errors import CheckpointError


def checkpoint_id(spec: str, revision: str | None) -> str | None:
    """`<name>@<revision>` of a hub id, `<folder name>@<content hash, 12 hex>` of a local folder.

    None for a hub id without a revision: which commit that is, only loading it tells.
    """
    folder = Path(spec)
    if folder.is_dir():
        return f"{folder.resolve().name}@{folder_revision(folder)}"
    return f"{spec}@{revision}" if revision else None


def loaded_id(spec: str, revision: str | None, config: Any) -> str:
    """`checkpoint_id`, completed from the `config` (transformers) of the model that was loaded."""
    known = checkpoint_id(spec, revision)
    return known if known is not None else f"{spec}@{config._commit_hash}"


@contextmanager
def loading(spec: str, kind: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes a CheckpointError of one line."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"{spec}: not loadable as {kind} ({reason}); give a folder written by save_pretrained, "
            "or a hub id and revision, with safetensors weights"
        ) from error


def refuse_missing_weights(spec: str, kind: str, loading_info: dict[str, Any]) -> None:
    """transformers fills missing weights with random ones and a warning: scores would mean nothing."""
    missing = sorted(loading_info["missing_keys"]) + sorted(map(str, loading_info["mismatched_keys"]))
    if missing:
        raise CheckpointError(
            f"{spec}: {len(missing)} weights of {kind} are not in it, among them {missing[0]}; "
            "give a checkpoint of that architecture"
        )


def package_version(package: str, spec: str | None = None, extra: str = "demo") -> str:
    """The installed version of a package of an extra. Raises CheckpointError where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise missing_package(package, spec, extra) from error


def missing_package(package: str, spec: str | None = None, extra: str = "demo") -> CheckpointError:
    """The error for an evaluator (`demo:<package>` unless named) whose extra is not installed."""
    return CheckpointError(
        f"{spec or f'demo:{package.lower()}'} needs the package {package}: pip install 'voicemill[{extra}]'"
    )
