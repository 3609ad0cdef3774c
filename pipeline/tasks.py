"""The end of a shard, as Ray tasks: no model, no state; each takes and gives one shard."""

from __future__ import annotations

import uuid
from typing import Any

import pyarrow as pa

from pipeline import rounds
from pipeline.board import Reporter
from pipeline.config import fingerprint
from pipeline.metrics.published import HeardBy
from pipeline.records import Row, count_failed
from pipeline.results import result_schema
from pipeline.run import Run
from pipeline.stages.judge_takes import judge_takes
from pipeline.stages.measure_audio import measure_audio
from pipeline.stages.pack_result import pack_results
from pipeline.stages.score_utterance import score_utterances


def commit_shard(table: pa.Table, run: Run, board: Any) -> pa.Table:
    """Scores, judges and commits a shard; gives its commit as one small row.

    One with rows that get another take is committed to where it waits for them.
    """
    identity, gates = run.identity, run.gates
    described = identity.to_dict()
    [shard] = set(table.column("shard").to_pylist())  # a block is a shard, or the flow is broken

    def score_and_judge(rows: list[Row]) -> list[Row]:
        heard_by = HeardBy.of(described)
        scored = score_utterances(measure_audio(rows), heard_by, identity.quality_model)
        packed = pack_results(scored, identity.model, identity.codec, fingerprint(described), run.take)
        return [judge_takes([row], gates) for row in packed]

    result = Reporter(board, "commit").through(table, result_schema(), score_and_judge)
    again = "again" in result.column("gate").to_pylist()
    if run.take or again:
        log = run.results if run.take else run.waiting
        commit = log.write_shard(shard, result, uuid.uuid4().hex, {"failed": count_failed(result)})
    else:
        commit = rounds.commit_results(run, shard, result, uuid.uuid4().hex)
    return pa.table({"shard": [commit.shard], "rows": [commit.rows]})


def settle_shard(table: pa.Table, run: Run) -> pa.Table:
    """A shard whose rows have all their takes, committed; [shard, places] -> one small row."""
    [row] = table.to_pylist()
    places = [rounds.Place(take, shard) for take, shard in zip(row["takes"], row["shards"], strict=True)]
    commit = rounds.settle_shard(run, row["shard"], places)
    return pa.table({"shard": [commit.shard], "rows": [commit.rows]})
