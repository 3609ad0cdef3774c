"""The Ray Data graphs, read top to bottom: voices first, then utterances.

One block is one shard, all the way: `target_max_block_size=None` keeps Ray from cutting or joining
blocks, every stage takes whole blocks, and `commit_shard` refuses a block that is not one shard.
So a shard is generated with the same batch mates on every attempt, and committed in one step.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline import ray_settings  # noqa: F401 (before ray)

# isort: split

import pyarrow as pa
import ray
from ray._private import ray_constants
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.data.exceptions import ExecutionTimeoutError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline import actors, tasks
from pipeline.board import ProgressBoard
from pipeline.config import ResourceConfig
from pipeline.engine.device import shards_at_once
from pipeline.errors import EngineFatalError, RowError, worker_error
from pipeline.plan import PlannedShard
from pipeline.prompt_cache import PromptCache
from pipeline.records import Row
from pipeline.rounds import Place
from pipeline.run import Run

_CPU_SHARE = 0.2  # threads are set by each stage; Ray's CPUs only bound how many processes there are
_PROMPTS_PER_BLOCK = 16
_RESTARTS = 50  # of a worker: ten rows that end their process, each after five deaths (attempts.py)
_CALLS_OF_A_CHAIN = 4  # of a small machine: while one shard is in one of its stages, others are in the others


@dataclass(frozen=True, slots=True)
class Cluster:
    cpus: int
    gpus: int
    ours: bool  # connected to here, so left here
    private: bool = True  # a Ray of this machine alone, which no node will join

    @property
    def is_small(self) -> bool:
        return not self.gpus and self.cpus <= 4

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"


def start_ray(resources: ResourceConfig) -> Cluster:
    """The cluster of `RAY_ADDRESS`, or a private Ray that only this machine can reach."""
    ours, elsewhere = not ray.is_initialized(), "RAY_ADDRESS" in os.environ
    if ours:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if elsewhere:
            with _our_sigterm():
                ray.init(address=os.environ["RAY_ADDRESS"], **quiet)
        else:
            # in no file; Ray reads it once per process
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            # Ray binds to every interface on Linux; this is its own switch for loopback (macOS, Windows)
            ray_constants.ENABLE_RAY_CLUSTER = False
            with _our_sigterm(), _silent_stderr():
                ray.init(
                    address="local", num_cpus=resources.num_cpus or None, include_dashboard=False, **quiet
                )
    _set_context()
    total = ray.cluster_resources()
    cpus, gpus = (int(total.get(name, 0)) for name in ("CPU", "GPU"))
    return Cluster(max(1, cpus), gpus, ours, private=ours and not elsewhere)


@contextmanager
def _our_sigterm() -> Iterator[None]:
    """`ray.init` sets a handler of its own, which only exits: ours (see `interrupts`) comes back."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:  # Ray's handler, while Ray starts
        signal.signal(signal.SIGTERM, before)
        signal.raise_signal(signal.SIGTERM)  # to the one that should have had it
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Ray's C++ side announces its log level past Python; what goes wrong is raised, and in its log files."""
    saved = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def stop_ray(cluster: Cluster) -> None:
    if cluster.ours:
        ray.shutdown()


def new_board() -> Any:
    """On the driver's own node: of the others each may be taken away, and the counts with it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(ProgressBoard).remote()


def read_board(board: Any) -> dict[str, dict[str, float]]:
    counts: dict[str, dict[str, float]] = ray.get(board.read.remote())
    return counts


def read_all(board: Any) -> dict[str, dict[str, Any]]:
    """See `ProgressBoard.read_all`."""
    counts: dict[str, dict[str, Any]] = ray.get(board.read_all.remote())
    return counts


def read_work(board: Any) -> dict[str, int]:
    """What the engines have done: see `ProgressBoard.read_work`."""
    work: dict[str, int] = ray.get(board.read_work.remote())
    return work


def encode_prompts(
    run: Run, cluster: Cluster, cache: PromptCache, prompts: Sequence[Row], board: Any
) -> dict[str, RowError]:
    """Every voice that the cache lacks, once each. Returns those that could not be encoded."""
    if not prompts:
        return {}
    resources, evaluation = run.config.resources, run.config.evaluation
    devices = (
        run.identity.device,
        evaluator_device(evaluation.transcriber, cluster),
        evaluator_device(evaluation.speaker_encoder, cluster),
    )
    voices = ray.data.from_arrow(
        [
            pa.Table.from_pylist(list(prompts[i : i + _PROMPTS_PER_BLOCK]), schema=_VOICE)
            for i in range(0, len(prompts), _PROMPTS_PER_BLOCK)
        ]
    )
    encode = Stage(
        actors.EncodePrompts,
        (run, cache, board, devices),
        pool=resources.codec_actors or max(1, cluster.gpus),
        gpu_share=resources.codec_gpu_share + resources.transcriber_gpu_share + resources.speaker_gpu_share,
    )
    return {
        row["prompt_id"]: RowError(row["error_code"], row["error_message"])
        for row in _rows(_through(voices, [encode], cluster))
        if row["error_code"] is not None
    }


@dataclass(frozen=True, slots=True)
class Work:
    """What the graphs over shards are given."""

    run: Run
    cluster: Cluster
    cache: PromptCache
    failed_prompts: dict[str, RowError]
    todo: Sequence[PlannedShard]
    board: Any


def pack(work: Work) -> Iterator[Row]:
    """Packs the samples of every shard; gives {rows} as each is done."""
    packed = _through(_shards(work.todo), [_reading_stage(actors.PackSamples, work)], work.cluster, work.run)
    yield from _rows(packed.map_batches(_count_rows, num_cpus=_CPU_SHARE, **_WHOLE_BLOCK))


def speak(work: Work) -> Iterator[Row]:
    """Generates, decodes, listens and commits; gives {shard, rows} as each is committed."""
    run, config, gpus = work.run, work.run.config, work.cluster.gpus
    resources, on_gpu = config.resources, run.identity.device == "cuda"
    speaking = Stage(
        actors.Speak,
        (run, work.board, run.identity.device),
        pool=resources.engine_actors or min(max(1, gpus), resources.engine_actors_max or gpus + 1),
        most=_most_engines(work),
        gpu_share=resources.engine_gpu_share + resources.codec_gpu_share,
        calls=shards_at_once(config.model.slots, config.output.shard_rows, on_gpu=on_gpu),
    )
    pack_samples = _reading_stage(actors.PackSamples, work)
    utterances = _through(_shards(work.todo), [pack_samples, speaking], work.cluster, run)
    yield from _listen_and_commit(utterances, work)


def _most_engines(work: Work) -> int | None:
    """See `Stage.most`. To a cluster that others run, nodes may come while we work."""
    resources, cluster = work.run.config.resources, work.cluster
    grows = cluster.gpus > 0 and not cluster.private and not resources.engine_actors
    return resources.engine_actors_max or (None if grows else 0)


def settle(run: Run, places: Mapping[str, Sequence[Place]]) -> Iterator[Row]:
    """Commits the waiting shards, by name with where their rows' other takes are."""
    shards = [
        {"shard": name, "takes": [p.take for p in at], "shards": [p.shard for p in at]}
        for name, at in places.items()
    ]
    waiting = ray.data.from_items(shards, override_num_blocks=len(shards))
    yield from _rows(
        waiting.map_batches(tasks.settle_shard, fn_kwargs={"run": run}, num_cpus=_CPU_SHARE, **_WHOLE_BLOCK)
    )


def score(work: Work) -> Iterator[Row]:
    """Listens to audio that exists already; gives {shard, rows} as each shard is committed."""
    load = _reading_stage(actors.LoadUtterances, work)
    yield from _listen_and_commit(_through(_shards(work.todo), [load], work.cluster, work.run), work)


def _listen_and_commit(utterances: Dataset, work: Work) -> Iterator[Row]:
    heard = _through(utterances, _evaluator_stages(work), work.cluster, work.run)
    committed = heard.map_batches(
        tasks.commit_shard,
        fn_kwargs={"run": work.run, "board": work.board},
        num_cpus=_CPU_SHARE,
        **_WHOLE_BLOCK,
    )
    yield from _rows(committed)


def _evaluator_stages(work: Work) -> list[Stage]:
    """The evaluators that the run has: one per GPU, or as many as the CPUs bear."""
    cluster, resources, evaluation = work.cluster, work.run.config.resources, work.run.config.evaluation
    stages = []
    for actor, spec, pool, gpu_share, cpus_each in (
        (
            actors.Transcribe,
            evaluation.transcriber,
            resources.transcriber_actors,
            resources.transcriber_gpu_share,
            2,
        ),
        (
            actors.EmbedSpeaker,
            evaluation.speaker_encoder,
            resources.speaker_actors,
            resources.speaker_gpu_share,
            8,
        ),
        (actors.RateQuality, evaluation.quality_model, 0, 0.0, 2),
    ):
        if spec == "none":
            continue
        device = evaluator_device(spec, cluster)
        on_gpu = device == "cuda"
        pool = pool or max(1, cluster.gpus if on_gpu else cluster.cpus // cpus_each)
        stages.append(Stage(actor, (work.run, work.board, device), pool, gpu_share if on_gpu else 0.0))
    return stages


def _reading_stage(actor: type, work: Work) -> Stage:
    """A stage that begins with planned shards and the voices."""
    return Stage(
        actor,
        (work.run, work.cache, work.failed_prompts, work.board),
        pool=work.run.config.resources.packer_actors or max(1, work.cluster.cpus // 16),
    )


@dataclass(frozen=True, slots=True)
class Stage:
    """An actor class, what it is built with, how many there are, and each one's share of a GPU.

    `calls` is how many shards one is given at a time; `most` up to how many, if that is more, there may be
    as nodes join, None as many as there is room for.
    """

    actor: type
    arguments: tuple[Any, ...]
    pool: int
    gpu_share: float = 0.0
    most: int | None = 0
    calls: int = 1

    def compute(self, at_once: int, *, alone: bool) -> ActorPoolStrategy:
        """A pool of actors that take `at_once` calls each; `alone` is for small machines."""
        least, most = (1, 1) if alone else (self.pool, self.most)
        return ActorPoolStrategy(
            min_size=least,
            max_size=None if most is None else max(least, most),
            max_tasks_in_flight_per_actor=2 * at_once,
            max_concurrent_calls_per_actor=at_once,
            enable_true_multi_threading=at_once > 1,
        )


def _through(dataset: Dataset, stages: Sequence[Stage], cluster: Cluster, run: Run | None = None) -> Dataset:
    """One actor pool per stage; on a small machine one process for them all. `run` counts attempts.

    A process costs some ten seconds of imports, which on two cores is more than overlapping wins.
    """
    for chain in [stages] if cluster.is_small and stages else [[stage] for stage in stages]:
        at_once = max(_CALLS_OF_A_CHAIN if cluster.is_small else 1, *(stage.calls for stage in chain))
        with warnings.catch_warnings():
            # Ray 2.64 will want the retries elsewhere; pyproject.toml keeps us below it
            warnings.simplefilter("ignore", DeprecationWarning)
            # `map_batches` itself refuses whole blocks where GPUs are asked for
            dataset = dataset.map_batches_internal(
                actors.Chain,
                fn_constructor_args=([(stage.actor, stage.arguments) for stage in chain], run),
                compute=chain[0].compute(at_once, alone=cluster.is_small),
                num_cpus=_CPU_SHARE,
                num_gpus=chain[0].gpu_share if cluster.gpus else 0.0,
                # Ray's default is for ever
                max_restarts=_RESTARTS,
                # bounded by the restarts: of a node that is gone, some are used up before Ray knows it
                max_task_retries=-1,
                **_WHOLE_BLOCK,
            )
    return dataset


def _rows(dataset: Dataset) -> Iterator[Row]:
    try:
        yield from dataset.iter_rows()
    except ExecutionTimeoutError as error:
        hours = DataContext.get_current().execution_no_progress_timeout_s / 3600
        raise EngineFatalError(
            f"no shard has got on for {hours:g} hours: a worker hangs; run the same command again to go on"
        ) from error
    except ray.exceptions.RayError as error:
        raise worker_error(str(error)) from error


def evaluator_device(spec: str, cluster: Cluster) -> str:
    """The embedded evaluators and DNSMOS stay on the CPU."""
    stays = spec in ("none", "dnsmos") or spec.startswith("demo:")
    return "cuda" if cluster.gpus and not stays else "cpu"


def _shards(todo: Sequence[PlannedShard]) -> Dataset:
    return ray.data.from_items([actors.shard_columns(shard) for shard in todo], override_num_blocks=len(todo))


def _count_rows(table: pa.Table) -> pa.Table:
    return pa.table({"rows": [table.num_rows]})


def _set_context() -> None:
    """Ray Data's settings, all in one place."""
    context = DataContext.get_current()
    context.enable_progress_bars = False  # we have our own
    context.print_on_execution_start = False
    context.target_max_block_size = None  # a block is a shard
    context.execution_options.verbose_progress = False
    # a healthy shard can take long on a laptop; a hung one must still end the run some day
    context.execution_no_progress_timeout_s = 4 * 3600
    context.issue_detectors_config.detectors = []  # their advice is for the authors of a flow
    for name in ("ray.data", "ray.data._internal.execution.streaming_executor", "ray.data.dataset"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # an actor that cannot be built (no memory, bad weights) should say so, not be tried for ever
    context.max_consecutive_actor_init_deaths = 2


_VOICE = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("prompt_audio", pa.string()),
        ("prompt_text", pa.string()),
        ("language", pa.string()),
    ]
)
_WHOLE_BLOCK: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "zero_copy_batch": True}
