"""What attempts that died have left in a run's folder, and when it may go.

An object without a commit may be one that waits for it, so nothing young is touched. `write_shard` puts
its object anew at every attempt: what is older than an attempt can take belongs to nobody. Where an attempt
makes the same bytes while they are being deleted, one of the two sees the other and puts them back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.attempts import noted
from pipeline.commit import ShardLog
from pipeline.destination import store_time
from pipeline.errors import ConfigError
from pipeline.run import shard_logs
from pipeline.storage import ObjectMissing, Store, open_store

# from an object's PUT to its commit each may be tried for some tens of minutes
SHORTEST_GRACE_S = 3600.0
_AGE = re.compile(r"([0-9]{1,9})([mhd])")
_UNIT_S = {"m": 60, "h": 3600, "d": 86400}


def age_in_seconds(text: str) -> float:
    """`90m`, `24h` or `7d`. Raises ConfigError."""
    if (match := _AGE.fullmatch(text)) is None:
        raise ConfigError(f"{text[:20]!r} is no age; give minutes, hours or days as 90m, 24h or 7d")
    return float(match[1]) * _UNIT_S[match[2]]


def collect_garbage(uri: str, older_than_s: float, *, delete: bool) -> list[str]:
    """Keys that no commit names (and of a whole run the notes of its attempts; on a local disk half-written
    files, too), older than that; in order.

    They are deleted only if `delete`; a driver may be at work meanwhile. Ages are by the store's own clock.
    Raises ConfigError for a grace under an hour, StorageError.
    """
    if older_than_s < SHORTEST_GRACE_S:
        raise ConfigError(
            f"{older_than_s:.0f} s would take what a driver is about to commit; give an hour or more"
        )
    store = open_store(uri)
    oldest_kept = store_time(store) - older_than_s
    garbage = [orphan for orphan in _orphans(store) if _is_older(store, orphan.key, oldest_kept)]
    # of a run that is whole: `finish` takes them itself, unless it died, or a worker outlived it
    notes = list(noted(store)) if store.exists("_SUCCESS") else []
    notes = [key for key in notes if _is_older(store, key, oldest_kept)]
    partial = [path for path in store.partial_files() if _was_written_before(path, oldest_kept)]
    if delete:
        for orphan in garbage:
            # looked at once more: a driver may have taken it up since
            if _is_older(store, orphan.key, oldest_kept) and not orphan.is_committed():
                try:
                    data = store.get(orphan.key)
                except ObjectMissing:  # its run has just been finished
                    continue
                store.delete(orphan.key)
                if orphan.is_committed():  # the deletion took its time; the writer may have looked before it
                    store.put(orphan.key, data)
        for key in notes:
            store.delete(key)
        for path in partial:
            path.unlink(missing_ok=True)
    return sorted(
        [
            *(orphan.key for orphan in garbage),
            *notes,
            *(path.relative_to(store.uri).as_posix() for path in partial),
        ]
    )


@dataclass(frozen=True, slots=True)
class _Orphan:
    log: ShardLog
    name: str  # its key in the log's folder

    @property
    def key(self) -> str:
        return f"{self.log.prefix}/{self.name}" if self.log.prefix else self.name

    def is_committed(self) -> bool:
        commit = self.log.read_commit(self.name.split("/")[1])
        return commit is not None and commit.key == self.name


def _orphans(store: Store) -> Iterator[_Orphan]:
    for log in shard_logs(store):
        yield from (_Orphan(log, name) for name, _ in log.orphans())


def _is_older(store: Store, key: str, than: float) -> bool:
    try:
        return store.modified(key) < than
    except ObjectMissing:  # its own attempt has deleted it
        return False


def _was_written_before(path: Path, than: float) -> bool:
    return path.exists() and path.stat().st_mtime < than
