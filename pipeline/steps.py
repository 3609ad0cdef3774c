"""The steps that jobs and the command line are made of, in the order in which they run.

check_manifest -> start -> plan_rows -> encode_voices -> speak_shards | score_shards -> finish
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rich.console import Console

from pipeline import flow
from pipeline.codecs import codec_info
from pipeline.commit import ShardLog
from pipeline.config import RunConfig
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.frame_budget import estimate_duration_s
from pipeline.engine.transformers_engine import ENGINE_ID
from pipeline.errors import (
    CheckpointError,
    ConfigError,
    ManifestError,
    RowError,
    RunConflictError,
    StorageError,
)
from pipeline.evaluators import speaker_encoder_id, transcriber_id
from pipeline.metrics.aggregate import summarise
from pipeline.plan import PlannedShard, extend_plan, planned_prompts, planned_shards
from pipeline.preflight import Preflight
from pipeline.progress import Progress
from pipeline.prompt_cache import PromptCache
from pipeline.records import PLANNED_ROW, Row, to_table
from pipeline.results import LIGHT_COLUMNS, iter_results, result_schema
from pipeline.run import Identity, Run, is_run, open_run, pinned_versions, settings_of
from pipeline.storage import open_store
from pipeline.uris import parent_uri
from pipeline.views import print_bad_row, print_preflight

_BAD_ROWS_SHOWN = 50


@dataclass(frozen=True)
class Session:
    """A run that is being worked on: its folder, its cluster, its voices."""

    run: Run
    cluster: flow.Cluster
    cache: PromptCache
    console: Console
    failed_prompts: dict[str, RowError]


@contextmanager
def session(uri: str, manifest_uri: str, task: str, config: RunConfig, console: Console) -> Iterator[Session]:
    """Starts Ray and opens the run's folder; stops Ray at the end, whatever happens."""
    identity = resolve_identity(task, config)  # before Ray: a wrong model is told at once
    cluster = flow.start_ray(config.resources)
    try:
        run = open_run(uri, config, _on_devices(identity, config, cluster), manifest_uri)
        cache_uri = config.resources.prompt_cache or f"{parent_uri(uri)}/.prompt-cache"
        made_by = run.identity
        encoders = json.dumps(
            [
                *(made_by.codec, made_by.speaker_encoder, made_by.transcriber),
                *(made_by.device, made_by.evaluator_devices, sorted(made_by.versions.items())),
            ]
        )
        yield Session(run, cluster, PromptCache(open_store(cache_uri), encoders), console, {})
    finally:
        flow.stop_ray(cluster)


def _on_devices(identity: Identity, config: RunConfig, cluster: flow.Cluster) -> Identity:
    device = cluster.device if config.model.device == "auto" else config.model.device
    specs = (config.evaluation.transcriber, config.evaluation.speaker_encoder)
    evaluators = ", ".join(flow.evaluator_device(spec, cluster) for spec in specs)
    return replace(identity, device=device, evaluator_devices=evaluators)


def resolve_identity(task: str, config: RunConfig) -> Identity:
    """Names to revisions; loads no weights. Raises CheckpointError for parts that do not fit together."""
    model, evaluation = config.model, config.evaluation
    checkpoint_id = codec_id = engine = "none"
    if task == "speak":
        prompts = PromptFormat.load(
            model.checkpoint, model.revision, style=model.prompt_style, semantic=model.semantic
        )
        codec = codec_info(model.codec_spec, model.codec_pin)
        if (codec.num_codebooks, codec.codebook_size) != (prompts.num_codebooks, prompts.num_codes):
            raise CheckpointError(
                f"{prompts.id} speaks {prompts.num_codebooks} codebooks of {prompts.num_codes}, "
                f"{codec.id} has {codec.num_codebooks} of {codec.codebook_size}: set model.codec to its own"
            )
        checkpoint_id, codec_id, engine = prompts.id, codec.id, ENGINE_ID
    return Identity(
        task=task,
        model=checkpoint_id,
        codec=codec_id,
        engine=engine,
        device=model.device,
        evaluator_devices="",
        transcriber=_pinned(
            "transcriber",
            transcriber_id(evaluation.transcriber, evaluation.transcriber_revision),
            evaluation.transcriber_revision,
        ),
        speaker_encoder=_pinned(
            "speaker_encoder",
            speaker_encoder_id(evaluation.speaker_encoder, evaluation.speaker_encoder_revision),
            evaluation.speaker_encoder_revision,
        ),
        settings=settings_of(config),
        versions=pinned_versions(),
    )


def _pinned(name: str, evaluator: str | None, revision: str | None) -> str:
    if evaluator is None or (revision is not None and not re.fullmatch(r"[0-9a-f]{40}", revision)):
        raise ConfigError(
            f"evaluation.{name} is a hub id: pin it with evaluation.{name}_revision=<40-digit commit>, "
            "since a branch or tag can move"
        )
    return evaluator


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
        return FinishedRun(source)
    return _checked(Preflight(source, config, format=format, task="score"), console, strict=False)


def _checked(preflight: Preflight, console: Console, strict: bool) -> Preflight:
    for row in preflight.rows():
        if row["error_code"] and preflight.report.bad_rows <= _BAD_ROWS_SHOWN:
            print_bad_row(console, row)
    if preflight.report.bad_rows > _BAD_ROWS_SHOWN:
        console.print(
            f"... and {preflight.report.bad_rows - _BAD_ROWS_SHOWN} more; `voicemill check` lists them all"
        )
    print_preflight(console, preflight.report, preflight.config)
    if strict and preflight.report.bad_rows:
        raise ManifestError(
            f"{preflight.manifest_uri}: {preflight.report.bad_rows} bad rows; mend them, or drop --strict"
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
        if not store.exists("_SUCCESS"):
            raise RunConflictError(f"{self.uri} is not finished; run it to its end before scoring it")
        log = ShardLog(store)
        for commit in log.commits():
            for row in log.read_table(commit, columns=[*PLANNED_ROW.names, "num_samples"]).to_pylist():
                if row["num_samples"] is not None:  # it failed while it was listened to, if at all
                    row |= {"failed_stage": None, "error_code": None, "error_message": None}
                yield row | {"audio_uri": f"{store.uri}/{commit.key}#{row['row']}"}


def plan_rows(session: Session, source: RowSource) -> int:
    """Plans what is not planned yet; returns how many rows that were."""
    return extend_plan(session.run.store, source.rows(), session.run.config.output.shard_rows, _speech_s)


def encode_voices(session: Session) -> None:
    """Fills the prompt cache; voices that cannot be encoded are kept for their rows to fail with."""
    if not remaining_shards(session.run, session.run.results):
        return
    known = session.cache.known()
    missing = [row for row in planned_prompts(session.run.store) if row["prompt_id"] not in known]
    if not missing:
        return
    board = flow.new_board()
    with _progress(session, board, {"encode_prompt": len(missing)}):
        session.failed_prompts.update(
            flow.encode_prompts(session.run, session.cluster, session.cache, missing, board)
        )


def pack_shards(session: Session) -> dict[str, Any]:
    """Stops after the samples. Returns their row counts."""
    todo = [shard for shard in remaining_shards(session.run, session.run.samples) if shard.rows]
    _walk(flow.pack, session, todo, ["pack_sample"])
    commits = list(session.run.samples.commits())
    return {
        "rows": sum(commit.rows for commit in commits),
        "failed": sum(commit.extra["failed"] for commit in commits),
    }


def speak_shards(session: Session) -> None:
    _to_results(flow.speak, session, ["pack_sample", "generate_codes", "decode_codes"])


def score_shards(session: Session) -> None:
    _to_results(flow.score, session, ["load_utterance"])


def finish(session: Session) -> dict[str, Any]:
    """Checks that every shard is committed, clears orphans, writes the summary, then `_SUCCESS`."""
    run = session.run
    missing = remaining_shards(run, run.results)
    if missing:
        raise StorageError(f"{run.uri}: {len(missing)} shards are not committed; run the same command again")
    if run.results.success() is None:
        run.results.remove_orphans()
        summary = summarise_run(run.uri)
        run.store.put("summary.json", json.dumps(summary, indent=2, sort_keys=True).encode())
        commits = list(run.results.commits())
        run.results.mark_success({"shards": len(commits), "rows": sum(commit.rows for commit in commits)})
    summary = json.loads(run.store.get("summary.json"))
    return dict(summary)


def summarise_run(uri: str) -> dict[str, Any]:
    rows = (row for table in iter_results(uri, LIGHT_COLUMNS) for row in table.to_pylist())
    return summarise(rows)


def remaining_shards(run: Run, log: ShardLog) -> list[PlannedShard]:
    done = log.committed_shards()
    return [shard for shard in planned_shards(run.store) if shard.name not in done]


def _to_results(graph: Callable[[flow.Work], Iterator[Row]], session: Session, stages: list[str]) -> None:
    run = session.run
    todo = remaining_shards(run, run.results)
    for empty in (shard for shard in todo if shard.rows == 0):
        run.results.write_shard(empty.name, to_table([], result_schema()), "empty", {"failed": 0})
    todo = [shard for shard in todo if shard.rows]
    evaluation = run.config.evaluation
    stages += ["transcribe"] * (evaluation.transcriber != "none")
    stages += ["embed_speaker"] * (evaluation.speaker_encoder != "none")
    _walk(graph, session, todo, [*stages, "commit"])


def _walk(
    graph: Callable[[flow.Work], Iterator[Row]],
    session: Session,
    todo: list[PlannedShard],
    stages: list[str],
) -> None:
    """Runs a graph over shards that have rows, and shows its stages."""
    if not todo:
        return
    board = flow.new_board()
    work = flow.Work(session.run, session.cluster, session.cache, session.failed_prompts, todo, board)
    with _progress(session, board, dict.fromkeys(stages, sum(shard.rows for shard in todo))):
        for _ in graph(work):
            pass


def _progress(session: Session, board: Any, totals: dict[str, int]) -> Progress:
    return Progress(session.console, lambda: flow.read_board(board), totals)


def _speech_s(row: Row) -> float:
    return 0.0 if row["error_code"] else estimate_duration_s(row["target_text"], row["language"])
