"""The steps that jobs and the command line are made of, in the order in which they run.

beforehand.py, then session: plan_rows -> encode_voices -> speak_shards | score_shards -> finish
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from pipeline import flow
from pipeline.attempts import note_stop, noted
from pipeline.beforehand import RowSource, packed_rows, shards_to_pack
from pipeline.commit import Commit, ShardLog, read_ahead
from pipeline.config import RunConfig
from pipeline.consent import load_consent
from pipeline.engine.frame_budget import estimate_duration_s
from pipeline.errors import EngineFatalError, RowError, StorageError, VoicemillError
from pipeline.identity import Identity, check_parts, resolve_identity
from pipeline.lease import Lease
from pipeline.metrics.aggregate import summarise
from pipeline.metrics.takes import TakesAccount
from pipeline.plan import (
    PlannedShard,
    extend_plan,
    planned_prompts,
    planned_shards,
    remaining_shards,
    shards_with,
)
from pipeline.progress import Progress
from pipeline.prompt_cache import PromptCache, open_cache
from pipeline.records import Row, to_table
from pipeline.results import LIGHT_COLUMNS, iter_results, result_schema
from pipeline.rounds import Again, WaitingRows, planned_again, reasons_of, remove_takes, waiting_shards
from pipeline.run import Run, open_run, read_run
from pipeline.storage import open_store
from pipeline.telemetry import Telemetry
from pipeline.views import many, say

log = logging.getLogger(__name__)
_SPEAKING = ("pack_sample", "generate_codes", "decode_codes")


@dataclass(frozen=True)
class Session:
    """A run that is being worked on: its folder, its cluster, its voices."""

    run: Run
    cluster: flow.Cluster
    cache: PromptCache
    console: Console
    failed_prompts: dict[str, RowError]
    telemetry: Telemetry


@contextmanager
def session(
    uri: str,
    manifest_uri: str,
    task: str,
    config: RunConfig,
    console: Console,
    *,
    take_over: bool = False,
) -> Iterator[Session]:
    """Starts Ray and opens the run's folder; stops Ray at the end, whatever happens."""
    identity = resolve_identity(task, config)
    if task == "speak":
        check_parts(config)
    with Lease(open_store(uri), take_over=take_over, say=lambda line: say(console, line)):
        telemetry = Telemetry(config.resources.metrics_file)
        address = os.environ.get("RAY_ADDRESS")
        say(
            console,
            f"connecting to the Ray cluster at {address} (RAY_ADDRESS)"
            if address
            else "starting Ray and its workers",
        )
        cluster = flow.start_ray(config.resources)
        try:
            run = open_run(uri, config, _on_devices(identity, config, cluster), manifest_uri)
            made_by = run.identity
            encoders = json.dumps(
                [
                    *(made_by.codec, made_by.speaker_encoder, made_by.transcriber),
                    *(made_by.device, made_by.evaluator_devices, sorted(made_by.versions.items())),
                ]
            )
            cache = open_cache(run, encoders)
            with _stop_noted(run):
                yield Session(run, cluster, cache, console, {}, telemetry)
        finally:
            flow.stop_ray(cluster)


@contextmanager
def _stop_noted(run: Run) -> Iterator[None]:
    """Where the work ends early, and no worker is why, its rows are not suspected: see attempts.py."""
    try:
        yield
    except BaseException as error:
        stops = KeyboardInterrupt, SystemExit, VoicemillError
        if isinstance(error, stops) and not isinstance(error, EngineFatalError):
            try:
                # another driver may have completed it meanwhile: nobody asks again
                if not run.store.exists("_SUCCESS"):
                    for each in (run, *map(run.of_take, range(1, run.gates.max_takes))):
                        note_stop(each.store, run.session)
            except StorageError:  # it must not hide why the work ends
                log.warning("%s: the stop is not noted", run.uri, exc_info=True)
        raise


def _on_devices(identity: Identity, config: RunConfig, cluster: flow.Cluster) -> Identity:
    device = cluster.device if config.model.device == "auto" else config.model.device
    specs = (config.evaluation.transcriber, config.evaluation.speaker_encoder)
    evaluators = ", ".join(flow.evaluator_device(spec, cluster) for spec in specs)
    return replace(identity, device=device, evaluator_devices=evaluators)


def plan_rows(session: Session, source: RowSource) -> int:
    """Plans what is not planned yet; returns how many rows that were."""
    return extend_plan(session.run.store, source.rows(), session.run.config.output.shard_rows, _speech_s)


def encode_voices(session: Session) -> None:
    """Fills the prompt cache; voices that cannot be encoded are kept for their rows to fail with."""
    if not remaining_shards(session.run.results):
        return
    known = session.cache.known()
    config = session.run.config.consent
    consent = load_consent(config.required, config.revoked)
    prompts = planned_prompts(session.run.store, lambda row: consent.fault(row["consent_id"]) is None)
    missing = [row for row in prompts if row["prompt_id"] not in known]
    if not missing:
        return
    board = flow.new_board()
    with _shown(session, board, {"encode_prompt": len(missing)}):
        session.failed_prompts.update(
            flow.encode_prompts(session.run, session.cluster, session.cache, missing, board)
        )


def pack_shards(session: Session) -> dict[str, Any]:
    """Stops after the samples. Returns their row counts."""
    _walk(flow.pack, session, shards_to_pack(session.run.samples), ["pack_sample"])
    return packed_rows(session.run.samples)


def speak_shards(session: Session) -> None:
    """Speaks what is planned; what does not pass its gates again, in rounds."""
    _to_results(flow.speak, session, _SPEAKING)
    if shards := waiting_shards(session.run):
        _speak_again(session, shards)


def _speak_again(session: Session, shards: list[str]) -> None:
    run, console = session.run, session.console
    rows = WaitingRows(run, shards)
    for take in range(1, run.gates.max_takes):
        if not (again := rows.again()):
            break
        say(
            console,
            f"take {take + 1} of {run.gates.max_takes}: {many(len(again), 'row')} again{_because(again)}",
        )
        session.telemetry.count("voicemill_takes_again_total", len(again))
        this = run.of_take(take)
        extend_plan(this.store, planned_again(again, take), run.config.output.shard_rows, _speech_s)
        # a run that has grown since it was whole has the plans of its takes, but their results no more
        wanted = shards_with(this.store, {row.first["utterance_id"] for row in again})
        _to_results(flow.speak, replace(session, run=this), _SPEAKING, wanted)
        rows.hear(take, wanted)
    left = rows.never_passed()
    say(console, f"gates: {many(len(left), 'row')} of {rows.count} still do not pass{_because(left)}")
    for _ in flow.settle(run, {shard: rows.places(shard) for shard in shards}):
        pass


def _because(rows: Sequence[Again]) -> str:
    reasons = reasons_of(rows)
    return f" ({reasons})" if reasons else ""


def score_shards(session: Session) -> None:
    _to_results(flow.score, session, ["load_utterance"])


def finish(session: Session) -> dict[str, Any]:
    """Checks that every shard is committed, clears orphans, writes the summary, then `_SUCCESS`."""
    run = session.run
    missing = remaining_shards(run.results)
    if missing:
        raise StorageError(f"{run.uri}: {len(missing)} shards are not committed; run the same command again")
    commits = list(run.results.commits())
    whole = {"shards": len(commits), "rows": sum(commit.rows for commit in commits)}
    if run.results.success() != whole:
        run.store.delete("_SUCCESS")  # of a driver that did not know the rows which came meanwhile
        run.results.remove_orphans(commits)
        run.rejected.remove_orphans(run.rejected.commits())
        summary = summarise_run(run.uri, commits)
        run.store.put("summary.json", json.dumps(summary, indent=2, sort_keys=True).encode())
        if not run.gates.keep_takes:
            remove_takes(run)
        for _ in read_ahead(run.store.delete, list(noted(run.store))):
            pass
        run.results.mark_success(whole)
    summary = dict(json.loads(run.store.get("summary.json")))
    session.telemetry.finished(summary)
    return summary


def summarise_run(uri: str, commits: Sequence[Commit] | None = None) -> dict[str, Any]:
    """What `summary.json` says. Reads every shard once: of a million rows there are tens of thousands.

    Their `commits`, too, unless they are given.
    """
    record = read_run(uri)
    gates, engine_s = TakesAccount(all_takes=record["settings"]["gates"]["all_takes"]), 0.0

    def rows() -> Iterator[Row]:
        nonlocal engine_s
        for table in iter_results(uri, LIGHT_COLUMNS, commits):
            for row in table.to_pylist():
                gates.add(row)
                engine_s += sum(take["engine_s"] or 0.0 for take in row["takes"] or ())
                yield row

    return summarise(rows()) | {
        "gates": gates.summary(),
        "work": {"engine_seconds": engine_s, "device": record["identity"]["device"]},
    }


def _to_results(
    graph: Callable[[flow.Work], Iterator[Row]],
    session: Session,
    stages: Sequence[str],
    among: Collection[str] | None = None,
) -> None:
    """Takes the planned shards, or those `among` them, through a graph and commits them."""
    run = session.run
    waiting = run.waiting.committed_shards() if not run.take else set()
    planned = [shard for shard in planned_shards(run.store) if among is None or shard.name in among]
    done = run.results.committed_shards() | waiting
    todo = [shard for shard in planned if shard.name not in done]
    if len(todo) < len(planned):
        left, rows = (sum(shard.rows for shard in shards) for shards in (todo, planned))
        say(session.console, f"{rows - left} of {rows} rows are committed already")
    for empty in (shard for shard in todo if shard.rows == 0):
        run.results.write_shard(empty.name, to_table([], result_schema()), "empty", {"failed": 0})
    todo = [shard for shard in todo if shard.rows]
    evaluation = run.config.evaluation
    stages = list(stages)
    stages += ["transcribe"] * (evaluation.transcriber != "none")
    stages += ["embed_speaker"] * (evaluation.speaker_encoder != "none")
    stages += ["rate_quality"] * (evaluation.quality_model != "none")
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
    with _shown(session, board, dict.fromkeys(stages, _good_rows(todo, session.run.samples))):
        for done_shard in graph(work):
            session.telemetry.count("voicemill_commits_total", int("shard" in done_shard))
    if (done := flow.read_work(board)).get("slot_steps"):
        used, computed = done["frames"] / done["slot_steps"], done["prefill_tokens"] / done["prompt_tokens"]
        say(
            session.console, f"engine: {used:.0%} of its slots in use, {computed:.0%} of the prompts computed"
        )


def _good_rows(shards: list[PlannedShard], samples: ShardLog) -> int:
    """The rows that are still to be worked on: those found bad before only pass through."""
    packed = samples.committed_shards()
    known = read_ahead(samples.read_commit, [shard.name for shard in shards if shard.name in packed])
    failed = {commit.shard: commit.extra["failed"] for commit in known if commit is not None}
    return sum(shard.rows - failed.get(shard.name, shard.bad) for shard in shards)


@contextmanager
def _shown(session: Session, board: Any, totals: dict[str, int]) -> Iterator[None]:
    """What the board says, to people and to the metrics file, until the block ends."""
    with (
        session.telemetry.watching(lambda: flow.read_all(board), totals),
        Progress(session.console, lambda: flow.read_board(board), totals),
    ):
        yield


def _speech_s(row: Row) -> float:
    return 0.0 if row["error_code"] else estimate_duration_s(row["target_text"], row["language"])
