"""The graphs of flow.py in one process, without Ray: the same stages, commits and files, in seconds.

For what Ray has no part in: rounds of takes, and what a driver that dies, stops or loses its store leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from pipeline import actors, flow, tasks
from pipeline.codecs import load_codec
from pipeline.engine import checkpoint
from pipeline.errors import RowError

_SPEAKS = {}  # one per process, for all takes


def without_ray(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """From here on `flow` runs in this process, or as long as `put`, of pytest's monkeypatch, says.

    Loads the stand-in once, so that forks and later takes need not. Nobody listens: leave the evaluators out.
    """
    for name in ("start_ray", "stop_ray", "new_board", "read_board", "read_work"):
        put(flow, name, globals()[name])
    for name in ("encode_prompts", "pack", "speak", "settle"):
        put(flow, name, globals()[name])
    # to name its actor it starts Ray
    put(actors, "EngineMeter", lambda *_: SimpleNamespace(report=lambda: None))
    codec, load_weights = load_codec("standin"), checkpoint.load_checkpoint
    weights = {}

    def load_once(*arguments, **options):
        key = repr((arguments, options))
        if key not in weights:
            weights[key] = load_weights(*arguments, **options)
        return weights[key]

    put(actors, "load_codec", lambda *_, **__: codec)
    put(checkpoint, "load_checkpoint", load_once)


def start_ray(resources):
    return flow.Cluster(cpus=1, gpus=0, ours=True)


def stop_ray(cluster):
    _SPEAKS.clear()


class _Board:
    """Takes what stages report, as an actor's handle would, and forgets it."""

    def __getattr__(self, name):
        return SimpleNamespace(remote=lambda *_: None)


def new_board():
    return _Board()


def read_board(board):
    return {}


def read_work(board):
    return {}


def encode_prompts(run, cluster, cache, prompts, board):
    encode = actors.EncodePrompts(run, cache, board, ("cpu", "cpu", "cpu"))
    voices = pa.Table.from_pylist(list(prompts), schema=flow._VOICE)
    return {
        row["prompt_id"]: RowError(row["error_code"], row["error_message"])
        for row in encode(voices).to_pylist()
        if row["error_code"] is not None
    }


def pack(work):
    samples = actors.PackSamples(work.run, work.cache, work.failed_prompts, work.board)
    for shard in work.todo:
        table = pa.Table.from_pylist([actors.shard_columns(shard)])
        yield {"rows": samples(table).num_rows}


def speak(work):
    pack = actors.PackSamples(work.run, work.cache, work.failed_prompts, work.board)
    if "speak" not in _SPEAKS:
        _SPEAKS["speak"] = actors.Speak(work.run, work.board, "cpu")
    for shard in work.todo:
        table = pa.Table.from_pylist([actors.shard_columns(shard)])
        table = _SPEAKS["speak"](pack(table))
        yield from tasks.commit_shard(table, run=work.run, board=work.board).to_pylist()


def settle(run, places):
    for name, at in places.items():
        shard = {"shard": name, "takes": [p.take for p in at], "shards": [p.shard for p in at]}
        yield from tasks.settle_shard(pa.Table.from_pylist([shard]), run=run).to_pylist()
