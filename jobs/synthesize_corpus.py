"""Make the teacher corpus that voicemill-mini learns from: flite's voices, spread into many speakers.

    python -m jobs.synthesize_corpus OUT [--rounds N] [--speakers N] [--held-out N] [--per-shard N] [--seed N]

Needs the Debian packages flite, bible-kjv, bible-kjv-text, fortunes, fortunes-min and wamerican. Existing
shards are skipped: an interrupted run resumes, and a larger --rounds adds to what is there.
"""

from __future__ import annotations

import sys
from typing import Any

import ray
from rich.console import Console

from pipeline.command_options import job_parser
from pipeline.commit import parquet_bytes
from pipeline.config import ResourceConfig
from pipeline.flow import start_ray, stop_ray
from pipeline.reported import reported
from pipeline.storage import open_store
from pipeline.training.corpus import CorpusPlan, CorpusShard, plan_shards, speak_shard
from pipeline.training.texts import TextSource


def synthesize_corpus(out: str, plan: CorpusPlan, console: Console) -> int:
    """Writes the shards that are missing under `out`; returns how many those were."""
    store = open_store(out)
    present = set(store.list(""))
    shards = plan_shards(plan, TextSource.from_packages(plan.seed))
    missing = [shard for shard in shards if shard.key not in present]
    console.print(f"{len(missing)} shards to make")
    if not missing:
        return 0
    cluster = start_ray(ResourceConfig())
    try:
        # one row is one shard; small blocks, or one worker would get them all
        work = ray.data.from_items(
            [{"shard": shard} for shard in missing], override_num_blocks=min(len(missing), 4 * cluster.cpus)
        )
        made = work.map(_write_shard, fn_args=(out,), num_cpus=1).iter_rows()
        for done, row in enumerate(made, start=1):
            if done % 20 == 0 or done == len(missing):
                console.print(f"{done} of {len(missing)}, last {row['key']}")
    finally:
        stop_ray(cluster)
    return len(missing)


def _write_shard(row: dict[str, Any], out: str) -> dict[str, Any]:
    shard: CorpusShard = row["shard"]
    open_store(out).put(shard.key, parquet_bytes(speak_shard(shard)))
    return {"key": shard.key}


def main() -> int:
    parser = job_parser("synthesize_corpus", __doc__)
    default = CorpusPlan()
    parser.add_argument("out", help="folder of the corpus: a path or URI")
    parser.add_argument("--seed", type=int, default=default.seed, help="of speakers and texts")
    parser.add_argument("--speakers", type=int, default=default.speakers, help="speakers to train on")
    parser.add_argument(
        "--held-out", type=int, default=default.held_out_speakers, help="speakers kept for validation"
    )
    parser.add_argument("--rounds", type=int, default=default.rounds, help="shards per speaker")
    parser.add_argument(
        "--per-shard", type=int, default=default.utterances_per_shard, help="utterances per shard"
    )
    given = parser.parse_args()
    plan = CorpusPlan(
        seed=given.seed,
        speakers=given.speakers,
        held_out_speakers=given.held_out,
        rounds=given.rounds,
        utterances_per_shard=given.per_shard,
    )
    synthesize_corpus(given.out, plan, Console())
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
