"""A run's folder: what it is made with (`run.json`), and the rule that it never changes.

run.json              identity and fingerprint, created once
plan/                 rows to shards                        (plan.py)
samples/data, commit  packed ChatML samples                 (commit.py)
data/, commit/        results                               (commit.py)
takes/                rows that did not pass their gates, and their other takes (rounds.py)
rejected/data, commit the best takes of rows that never passed, where the job says so
audio/                optional, one file per utterance
attempts/             what was begun and has not ended, until the run is whole (attempts.py)
summary.json          counts and aggregates
caches/               which caches of encoded voices its sessions have used (prompt_cache.py)
driver.json           who works on it now (lease.py)
engine.json           how many slots its engines have; created once (run_engine.py)
_SUCCESS              written last
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any

from pipeline.commit import ShardLog
from pipeline.config import GatesConfig, RunConfig, config_from_dict, differences, fingerprint
from pipeline.destination import is_trial, open_run_folder
from pipeline.errors import ConfigError, RunConflictError
from pipeline.identity import Identity
from pipeline.lease import LEASE_KEY
from pipeline.storage import ObjectMissing, Store, open_store
from pipeline.uris import shown

# of the folders that jobs keep runs in: what says whose they are, and where the runs lie
_MARKS = ("narration.json", "dub.json", "dataset.json")
_RUN_FOLDERS = ("run", "runs")


@dataclass(frozen=True, slots=True)
class Run:
    store: Store
    config: RunConfig
    identity: Identity
    take: int = 0  # of the rows in its plan; what is above 0 lies under `takes/` of the run itself
    session: str = ""  # of the driver that opened it

    @property
    def uri(self) -> str:
        return self.store.uri

    @property
    def results(self) -> ShardLog:
        return ShardLog(self.store)

    @property
    def samples(self) -> ShardLog:
        return ShardLog(self.store, prefix="samples")

    @property
    def waiting(self) -> ShardLog:
        """First takes of shards with rows that get another."""
        return ShardLog(self.store, prefix="takes/0")

    @property
    def rejected(self) -> ShardLog:
        return ShardLog(self.store, prefix="rejected")

    @property
    def gates(self) -> GatesConfig:
        """What this task judges by: sound that exists already gets no other take."""
        gates = self.config.gates
        return gates if self.identity.task == "speak" else replace(gates, max_takes=1)

    def of_take(self, take: int) -> Run:
        """The run, with its own plan and log, that speaks rows once more."""
        return replace(self, store=open_store(f"{self.uri}/takes/{take}"), take=take)


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
    if not store.create("run.json", json.dumps(record, indent=2, sort_keys=True).encode()):
        _refuse_other(uri, read_run(uri)["identity"], described)
    return Run(store, config, identity, session=uuid.uuid4().hex)


def look_at(uri: str, identity: Identity) -> bool:
    """Whether a run is there, made with `identity` as far as files tell; devices are left to `open_run`.

    Raises RunConflictError for another make or a folder of other things, ConfigError for a folder that
    cannot be written to.
    """
    store = open_run_folder(uri)
    if not store.exists("run.json"):
        theirs = (key for key in store.list() if key != LEASE_KEY and not is_trial(key))
        if (other := next(theirs, None)) is not None:
            raise RunConflictError(f"{uri} holds {other} and no run; name an empty or a new folder")
        return False
    known, given = read_run(uri)["identity"], identity.to_dict()
    unknown = ["evaluator_devices"] + ["device"] * (given["device"] == "auto")
    _refuse_other(uri, known, given | {name: known.get(name) for name in unknown})
    return True


def _refuse_other(uri: str, known: dict[str, Any], given: dict[str, Any]) -> None:
    changed = "; ".join(f"{name} was {old!r}, is {new!r}" for name, old, new in differences(known, given))
    if changed:
        raise RunConflictError(
            f"{uri} was started differently ({changed}); restore that or choose a new --out"
        )


def shard_logs(store: Store) -> list[ShardLog]:
    """Every log in a run's folder: results, samples, rejected takes, and those of all takes."""
    takes = sorted({key.split("/")[1] for key in store.list("takes")})
    of_takes = [f"takes/{take}{folder}" for take in takes for folder in ("", "/samples")]
    return [ShardLog(store, prefix) for prefix in ("", "samples", "rejected", *of_takes)]


def read_run(uri: str) -> dict[str, Any]:
    """`run.json` of a run. Raises RunConflictError if there is none, or if it is damaged."""
    try:
        record: dict[str, Any] = json.loads(open_store(uri).get("run.json"))
    except ObjectMissing as error:
        inside = ", ".join(_runs_inside(uri))
        remedy = f"name one that lies inside: {inside}" if inside else "name the --out of a `voicemill run`"
        raise RunConflictError(f"{uri} holds no run (no run.json); {remedy}") from error
    except ValueError as error:
        raise RunConflictError(f"{uri}: its run.json is damaged; restore it, or name a new folder") from error
    return record


def _runs_inside(uri: str) -> list[str]:
    """The runs in the folder of a book, a dub or a data set, where `uri` is one: it has the mark of it."""
    store = open_store(uri)
    if not any(store.exists(mark) for mark in _MARKS):
        return []
    keys = (key for folder in _RUN_FOLDERS for key in store.list(folder))
    return [f"{uri.rstrip('/')}/{key.removesuffix('/run.json')}" for key in keys if key.endswith("/run.json")]


def config_of_run(uri: str) -> RunConfig:
    """The settings a run was started with, its resources too."""
    record = read_run(uri)
    return config_from_dict(record["settings"] | {"resources": record["resources"]})


def complete_run(uri: str, doing: str) -> Store:
    """The folder of a run, once it is complete. Raises RunConflictError: `doing` must wait."""
    store = open_store(uri)
    if not store.exists("_SUCCESS"):
        raise RunConflictError(f"{uri} is not complete; run it to its end before {doing} it")
    return store


def is_run(uri: str) -> bool:
    try:
        return open_store(uri).exists("run.json")
    except ConfigError:  # a manifest may lie where no run can be written
        return False
