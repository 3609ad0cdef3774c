"""The Ray Data graphs, read top to bottom: voices first, then utterances.

One block is one shard, all the way: `target_max_block_size=None` keeps Ray from cutting or joining
blocks, every stage takes whole blocks, and `commit_shard` refuses a block that is not one shard.
So a shard is generated with the same batch mates on every attempt, and committed in one step.
"""

from __future__ import annotations

import logging
import os
import secrets
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# Read when ray is imported. Without the first it rebuilds the environment for its workers under `uv run`.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its C++ side writes past Python's logging

import pyarrow as pa
import ray
from ray._private import ray_constants
from ray.data import ActorPoolStrategy, DataContext, Dataset

from pipeline import actors
from pipeline.config import ResourceConfig
from pipeline.errors import RowError
from pipeline.plan import PlannedShard
from pipeline.prompt_cache import PromptCache
from pipeline.records import Row
from pipeline.run import Run

_CPU_SHARE = 0.2  # threads are set by each stage; Ray's CPUs only bound how many processes there are
_PROMPTS_PER_BLOCK = 16


@dataclass(frozen=True, slots=True)
class Cluster:
    cpus: int
    gpus: int
    ours: bool  # started here, so ended here

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"


def start_ray(resources: ResourceConfig) -> Cluster:
    """Connects to the configured cluster, or starts a private Ray that only this machine can reach."""
    ours = not ray.is_initialized()
    if ours:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if resources.ray_address is not None:
            ray.init(address=resources.ray_address, **quiet)
        else:
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # of this Ray alone; in no file
            # Ray binds to every interface on Linux; this is its own switch for loopback (macOS, Windows)
            ray_constants.ENABLE_RAY_CLUSTER = False
            ray.init(address="local", num_cpus=resources.num_cpus or None, include_dashboard=False, **quiet)
    _set_context()
    total = ray.cluster_resources()
    return Cluster(cpus=max(1, int(total.get("CPU", 1))), gpus=int(total.get("GPU", 0)), ours=ours)


def stop_ray(cluster: Cluster) -> None:
    if cluster.ours:
        ray.shutdown()


def new_board() -> Any:
    return ray.remote(num_cpus=0)(actors.ProgressBoard).remote()


def read_board(board: Any) -> dict[str, dict[str, float]]:
    counts: dict[str, dict[str, float]] = ray.get(board.read.remote())
    return counts


def encode_prompts(
    run: Run, cluster: Cluster, cache: PromptCache, prompts: Sequence[Row], board: Any
) -> dict[str, RowError]:
    """Every voice that the cache lacks, once each. Returns those that could not be encoded."""
    if not prompts:
        return {}
    evaluator_device, gpus = _evaluator(run, cluster)
    voices = ray.data.from_arrow(
        [
            pa.Table.from_pylist(list(prompts[i : i + _PROMPTS_PER_BLOCK]), schema=_VOICE)
            for i in range(0, len(prompts), _PROMPTS_PER_BLOCK)
        ]
    )
    encoded = _stage(
        voices,
        actors.EncodePrompts,
        [run, cache, board, run.identity.device, evaluator_device],
        actors=run.config.resources.codec_actors or max(1, cluster.gpus),
        gpu_share=max(gpus, run.config.resources.codec_gpu_share if cluster.gpus else 0.0),
    )
    return {
        row["prompt_id"]: RowError(row["error_code"], row["error_message"])
        for row in encoded.iter_rows()
        if row["error_code"] is not None
    }


def pack(
    run: Run, cluster: Cluster, cache: PromptCache, failed: dict[str, RowError], todo: Sequence[PlannedShard], board: Any
) -> Iterator[int]:
    """Packs the samples of every shard; gives the row count of each as it is done."""
    packed = _pack_samples(run, cluster, cache, failed, todo, board)
    for batch in packed.map_batches(_count_rows, **_WHOLE_BLOCK, num_cpus=_CPU_SHARE).iter_rows():
        yield batch["rows"]


def speak(
    run: Run, cluster: Cluster, cache: PromptCache, failed: dict[str, RowError], todo: Sequence[PlannedShard], board: Any
) -> Iterator[Row]:
    """Generates, decodes, listens and commits; gives {shard, rows, failed} as each is committed."""
    resources, device = run.config.resources, run.identity.device
    gpu = bool(cluster.gpus)
    samples = _pack_samples(run, cluster, cache, failed, todo, board)
    codes = _stage(
        samples,
        actors.GenerateCodes,
        [run, board, device],
        actors=resources.engine_actors or max(1, cluster.gpus),
        gpu_share=resources.engine_gpu_share if gpu else 0.0,
    )
    utterances = _stage(
        codes,
        actors.DecodeCodes,
        [run, board, device],
        actors=resources.codec_actors or max(1, cluster.gpus),
        gpu_share=resources.codec_gpu_share if gpu else 0.0,
    )
    yield from _listen_and_commit(run, cluster, utterances, board)


def score(
    run: Run, cluster: Cluster, cache: PromptCache, failed: dict[str, RowError], todo: Sequence[PlannedShard], board: Any
) -> Iterator[Row]:
    """Listens to audio that exists already; gives {shard, rows, failed} as each shard is committed."""
    utterances = _stage(
        _shards(todo),
        actors.LoadUtterances,
        [run, cache, failed, board],
        actors=run.config.resources.packer_actors or 1,
    )
    yield from _listen_and_commit(run, cluster, utterances, board)


def _pack_samples(
    run: Run, cluster: Cluster, cache: PromptCache, failed: dict[str, RowError], todo: Sequence[PlannedShard], board: Any
) -> Dataset:
    return _stage(
        _shards(todo),
        actors.PackSamples,
        [run, cache, failed, board],
        actors=run.config.resources.packer_actors or max(1, cluster.cpus // 16),
    )


def _listen_and_commit(run: Run, cluster: Cluster, utterances: Dataset, board: Any) -> Iterator[Row]:
    resources = run.config.resources
    device, gpu_share = _evaluator(run, cluster)
    heard = utterances
    if run.config.evaluation.transcriber != "none":
        heard = _stage(
            heard,
            actors.Transcribe,
            [run, board, device],
            actors=resources.transcriber_actors or max(1, cluster.gpus if gpu_share else cluster.cpus // 2),
            gpu_share=resources.transcriber_gpu_share if gpu_share else 0.0,
        )
    if run.config.evaluation.speaker_encoder != "none":
        heard = _stage(
            heard,
            actors.EmbedSpeaker,
            [run, board, device],
            actors=resources.speaker_actors or max(1, cluster.gpus if gpu_share else cluster.cpus // 8),
            gpu_share=resources.speaker_gpu_share if gpu_share else 0.0,
        )
    committed = heard.map_batches(
        actors.commit_shard, fn_kwargs={"run": run, "board": board}, num_cpus=_CPU_SHARE, **_WHOLE_BLOCK
    )
    yield from committed.iter_rows()


def _stage(
    dataset: Dataset, actor: type, arguments: list[Any], *, actors: int, gpu_share: float = 0.0
) -> Dataset:
    with warnings.catch_warnings():
        # Ray 2.64 will want these two elsewhere; pyproject.toml keeps us below it
        warnings.simplefilter("ignore", DeprecationWarning)
        return dataset.map_batches(
            actor,
            fn_constructor_args=arguments,
            compute=ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=2),
            num_cpus=_CPU_SHARE,
            num_gpus=gpu_share,
            # Ray's default is to restart for ever: a shard that kills its process would never end
            max_restarts=2,
            max_task_retries=2,
            **_WHOLE_BLOCK,
        )


def _evaluator(run: Run, cluster: Cluster) -> tuple[str, float]:
    """Device and GPU share of the evaluators: the embedded ones stay on the CPU."""
    embedded = run.config.evaluation.transcriber.startswith(("demo:", "none"))
    if embedded or not cluster.gpus:
        return "cpu", 0.0
    return "cuda", run.config.resources.transcriber_gpu_share


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
    [("prompt_id", pa.string()), ("prompt_audio", pa.string()), ("prompt_text", pa.string()), ("language", pa.string())]
)
_WHOLE_BLOCK: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "zero_copy_batch": True}
