"""What is looked at before anything is spent: files alone, no torch, no Ray.

refuse_conflicts -> check_manifest | rows_to_score -> all_planned -> whole_already
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rich.console import Console

from pipeline.commit import ShardLog
from pipeline.config import RunConfig
from pipeline.destination import open_destination
from pipeline.engine.model_files import is_own
from pipeline.errors import ManifestError
from pipeline.identity import resolve_identity
from pipeline.plan import PlannedShard, is_planned, remaining_shards
from pipeline.preflight import Preflight, PreflightReport
from pipeline.prompt_cache import cache_uri
from pipeline.records import PLANNED_ROW, Row
from pipeline.results import read_shard
from pipeline.run import complete_run, is_run, look_at
from pipeline.storage import open_store
from pipeline.views import many, print_bad_row, print_preflight, print_reading, say

_BAD_ROWS_SHOWN = 50


def refuse_conflicts(uri: str, task: str, config: RunConfig) -> None:
    """Raises for a folder that cannot hold this run: not writable, other things in it, made otherwise."""
    look_at(uri, resolve_identity(task, config))
    open_destination(cache_uri(uri, config))


def check_manifest(
    manifest_uri: str, config: RunConfig, console: Console, *, format: str | None = None, strict: bool = False
) -> Preflight:
    """Looks at every row and reference, and prints what it finds. Raises ManifestError if `strict`."""
    return _checked(Preflight(manifest_uri, config, format=format), console, strict)


def rows_to_score(
    source: str, config: RunConfig, console: Console, *, format: str | None = None
) -> Preflight | FinishedRun:
    """A manifest with an `audio` column, or a finished run."""
    if is_run(source):
        complete_run(source, "scoring")
        return FinishedRun(source)
    return _checked(Preflight(source, config, format=format, task="score"), console, strict=False)


def _checked(preflight: Preflight, console: Console, strict: bool) -> Preflight:
    print_reading(console, preflight.manifest_uri)
    several = 0
    for row in preflight.rows():
        several += bool(row["voices"])
        if row["error_code"] and preflight.report.bad_rows <= _BAD_ROWS_SHOWN:
            print_bad_row(console, row)
    if preflight.report.bad_rows > _BAD_ROWS_SHOWN:
        console.print(
            f"... and {preflight.report.bad_rows - _BAD_ROWS_SHOWN} more; `voicemill check` lists them all"
        )
    print_preflight(console, preflight.report, preflight.config)
    if several and is_own(preflight.config.model.checkpoint):
        say(
            console,
            f"note: {many(several, 'row')} with several or described voices: the embedded checkpoints have "
            "learned one recorded voice per row, and will be unintelligible",
        )
    if strict and preflight.report.bad_rows:
        raise ManifestError(
            f"{preflight.manifest_uri}: {many(preflight.report.bad_rows, 'bad row')}, listed above; "
            "--strict accepts none: fix them, or run without it"
        )
    return preflight


class RowSource(Protocol):
    """Where planned rows come from; walked afresh at each call."""

    def rows(self) -> Iterator[Row]: ...


@dataclass(frozen=True)
class FinishedRun:
    """A run's result rows as rows to score: the audio is what it made."""

    uri: str

    def rows(self) -> Iterator[Row]:
        store = open_store(self.uri)
        log = ShardLog(store)
        columns = [*PLANNED_ROW.names, "num_samples", "status"]
        for commit in log.commits():
            for row in read_shard(log, commit, columns).select(columns).to_pylist():
                uri = f"{store.uri}/{commit.key}#{row['row']}"
                if row.pop("status") == "rejected":
                    apart = ShardLog(store, prefix="rejected").read_commit(commit.shard)
                    uri = uri if apart is None else f"{store.uri}/rejected/{apart.key}#{row['row']}"
                if row.pop("num_samples") is not None:  # it failed while it was listened to, if at all
                    row |= {"failed_stage": None, "error_code": None, "error_message": None}
                yield row | {"audio_uri": uri}


def all_planned(uri: str, source: RowSource) -> bool:
    """Whether a run is there and its plan has every row. Raises RunConflictError for a row that was planned
    with other content."""
    store = open_store(uri)
    return store.exists("run.json") and is_planned(store, source.rows())


def whole_already(
    uri: str, console: Console, until: Literal["samples", "finish"] = "finish"
) -> dict[str, Any] | None:
    """What a run whose rows are all planned ended with, if every shard is committed and nothing is left."""
    store = open_store(uri)
    results, samples = ShardLog(store), ShardLog(store, prefix="samples")
    if until == "samples":
        if shards_to_pack(samples):
            return None
        say(console, f"{uri} is packed: nothing to do")
        return packed_rows(samples)
    said = results.success()
    if said is None or remaining_shards(results) or said["shards"] != len(results.committed_shards()):
        return None
    say(console, f"{uri} is complete: nothing to do")
    return dict(json.loads(store.get("summary.json")))


def tell_readable_now(report: PreflightReport, summary: dict[str, Any], console: Console) -> None:
    """Where less is wrong with the manifest than a complete run has recorded: its rows are final."""
    failures = summary["failures"]
    recorded = sum(sum(failures.get(stage, {}).values()) for stage in ("check_request", "check_prompt"))
    if recorded > report.bad_rows:
        say(
            console,
            f"note: {many(recorded - report.bad_rows, 'row')} that failed in this run would pass the checks "
            "now; results are final: to speak them, give them new ids, or use a new --out",
        )


def shards_to_pack(samples: ShardLog) -> list[PlannedShard]:
    return [shard for shard in remaining_shards(samples) if shard.rows]


def packed_rows(samples: ShardLog) -> dict[str, Any]:
    commits = list(samples.commits())
    return {
        "rows": sum(commit.rows for commit in commits),
        "failed": sum(commit.extra["failed"] for commit in commits),
    }
