"""A run's folder: what it is made with (`run.json`), and the rule that it never changes.

run.json              identity and fingerprint, created once
plan/                 rows to shards                        (plan.py)
samples/data, commit  packed ChatML samples                 (commit.py)
data/, commit/        results                               (commit.py)
audio/                optional, one file per utterance
summary.json          counts and aggregates
_SUCCESS              written last
"""

from __future__ import annotations

import importlib.metadata
import json
import time
from dataclasses import dataclass, replace
from typing import Any

from pipeline import __version__
from pipeline.commit import ShardLog
from pipeline.config import ResourceConfig, RunConfig, config_from_dict, differences, fingerprint
from pipeline.errors import ConfigError, RunConflictError
from pipeline.storage import ObjectMissing, Store, open_store
from pipeline.uris import shown

# a new version of any of these may round or sample differently
_PINNED = (
    "torch",
    "torchaudio",
    "transformers",
    "descript-audio-codec",
    "pocketsphinx",
    "resemblyzer",
    "jiwer",
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything that changes a run's results, names resolved to revisions."""

    task: str  # speak | score
    model: str
    codec: str
    engine: str
    device: str
    evaluator_devices: str  # transcriber, speaker encoder
    transcriber: str
    speaker_encoder: str
    settings: dict[str, Any]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def settings_of(config: RunConfig) -> dict[str, Any]:
    """The settings that change results. Names of models are left out: their ids stand for them."""
    settings = config.to_dict()
    del settings["resources"], settings["evaluation"], settings["output"]["audio_files"]
    for name in ("checkpoint", "revision", "codec", "codec_revision", "device"):
        del settings["model"][name]
    return settings


def pinned_versions() -> dict[str, str]:
    versions = {"voicemill": __version__}
    for name in _PINNED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


@dataclass(frozen=True, slots=True)
class Run:
    store: Store
    config: RunConfig
    identity: Identity

    @property
    def uri(self) -> str:
        return self.store.uri

    @property
    def results(self) -> ShardLog:
        return ShardLog(self.store)

    @property
    def samples(self) -> ShardLog:
        return ShardLog(self.store, prefix="samples")


def open_run(uri: str, config: RunConfig, identity: Identity, manifest_uri: str) -> Run:
    """Creates the run's folder or returns to it. Raises RunConflictError if it was made otherwise."""
    store = open_store(uri)
    described = identity.to_dict()
    settings = config.to_dict()
    resources = settings.pop("resources")
    record = {
        "fingerprint": fingerprint(described),
        "identity": described,
        "settings": settings,
        "manifest": shown(manifest_uri),
        "resources": resources,
        "created_unix_s": int(time.time()),
    }
    if not store.exists("run.json") and (other := next(store.list(), None)) is not None:
        raise RunConflictError(f"{uri} holds {other} and no run; name an empty or a new folder")
    if not store.create("run.json", json.dumps(record, indent=2, sort_keys=True).encode()):
        existing = read_run(uri)
        if existing["fingerprint"] != record["fingerprint"]:
            changed = "; ".join(
                f"{name} was {old!r}, is {new!r}"
                for name, old, new in differences(existing["identity"], described)
            )
            raise RunConflictError(
                f"{uri} was started differently ({changed}); restore that or choose a new --out"
            )
    return Run(store, config, identity)


def read_run(uri: str) -> dict[str, Any]:
    """`run.json` of a run. Raises RunConflictError if there is none."""
    try:
        record: dict[str, Any] = json.loads(open_store(uri).get("run.json"))
    except ObjectMissing as error:
        raise RunConflictError(
            f"{uri} holds no run (no run.json); name the --out of a `voicemill run`"
        ) from error
    return record


def config_of_run(uri: str, resources: ResourceConfig) -> RunConfig:
    """The settings a run was started with, on the resources of today."""
    return replace(config_from_dict(read_run(uri)["settings"]), resources=resources)


def is_run(uri: str) -> bool:
    try:
        return open_store(uri).exists("run.json")
    except ConfigError:  # a manifest may lie where no run can be written
        return False
