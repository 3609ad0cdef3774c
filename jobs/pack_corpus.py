"""Turn a corpus into training samples of a codec's codes: one shard of samples for each corpus shard.

    python -m jobs.pack_corpus CORPUS CODEC OUT [--targets N] [--valid-rows N]

OUT/train and OUT/valid get SAMPLE_ROW shards, with the phones of their targets. Existing shards are
skipped, so the job resumes and follows a corpus that grows. CODEC is a folder; its number of codebooks is
the model's.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import ray
from rich.console import Console

from pipeline.codecs import codec_info, load_codec
from pipeline.command_options import job_parser
from pipeline.commit import parquet_bytes
from pipeline.config import ResourceConfig
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.flow import start_ray, stop_ray
from pipeline.reported import reported
from pipeline.storage import open_store
from pipeline.training.mini_model import new_mini_folder
from pipeline.training.pack_corpus import pack_shard

VALID_ROWS = 12  # of each held-out speaker's shard


class PackShard:
    """One worker: the codec and the prompt format loaded once, then shard after shard."""

    def __init__(self, corpus: str, codec: str, out: str, targets: int, valid_rows: int) -> None:
        import torch

        torch.set_num_threads(1)
        self._corpus, self._out = open_store(corpus), open_store(out)
        self._codec = load_codec(codec)
        self._targets, self._valid_rows = targets, valid_rows
        with tempfile.TemporaryDirectory() as folder:
            new_mini_folder(Path(folder), self._codec.num_codebooks)
            self._format = PromptFormat.from_folder(Path(folder), "mini", style="document", semantic="on")

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        key: str = item["key"]
        with self._corpus.open(key) as file:
            rows = pq.read_table(file).to_pylist()
        split = rows[0]["split"]
        limit = None if split == "train" else self._valid_rows
        table = pack_shard(
            key.removesuffix(".parquet"),
            rows,
            self._codec,
            self._format,
            targets_each=self._targets,
            limit=limit,
        )
        self._out.put(f"{split}/{key}", parquet_bytes(table))
        return {"key": key, "rows": table.num_rows}


def pack_corpus(
    corpus: str, codec: str, out: str, console: Console, *, targets: int = 10, valid_rows: int = VALID_ROWS
) -> int:
    """Packs the shards that are missing under `out`; returns how many those were."""
    packed = {key.rpartition("/")[2] for key in open_store(out).list("")}
    shards = sorted(key for key in open_store(corpus).list("") if key.endswith(".parquet"))
    missing = [key for key in shards if key not in packed]
    console.print(f"{len(missing)} shards to pack, {codec_info(codec).num_codebooks} codebooks")
    if missing:
        for done, row in enumerate(_packed(missing, (corpus, codec, out, targets, valid_rows)), start=1):
            if done % 20 == 0 or done == len(missing):
                console.print(f"{done} of {len(missing)}, last {row['key']}")
    return len(missing)


def _packed(keys: list[str], arguments: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    cluster = start_ray(ResourceConfig())
    try:
        work = ray.data.from_items([{"key": key} for key in keys], override_num_blocks=len(keys))
        workers = max(1, cluster.cpus // 2)
        packed = work.map(PackShard, fn_constructor_args=arguments, concurrency=workers, num_cpus=1)
        yield from packed.iter_rows()
    finally:
        stop_ray(cluster)


def main() -> int:
    parser = job_parser("pack_corpus", __doc__)
    parser.add_argument("corpus", help="folder written by jobs.synthesize_corpus")
    parser.add_argument("codec", help="the codec's folder")
    parser.add_argument("out", help="folder for train/ and valid/")
    parser.add_argument("--targets", type=int, default=10, help="targets per reference")
    parser.add_argument(
        "--valid-rows", type=int, default=VALID_ROWS, help="rows per shard of a held-out speaker"
    )
    given = parser.parse_args()
    pack_corpus(
        given.corpus, given.codec, given.out, Console(), targets=given.targets, valid_rows=given.valid_rows
    )
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
