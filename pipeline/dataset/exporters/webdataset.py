"""WebDataset: tars in which `<id>.flac`, `<id>.txt` and `<id>.json` lie side by side."""

from __future__ import annotations

from pipeline.dataset.exporters.base import SPLIT, Exporter
from pipeline.dataset.exporters.shards import SHARD_BYTES, TarShards
from pipeline.dataset.selection import Utterance
from pipeline.export import json_line
from pipeline.storage import Store


class WebDataset(Exporter):
    name = "webdataset"
    files = rf"{SPLIT}-\d{{6}}\.tar"

    def __init__(self, store: Store, *, shard_bytes: int = SHARD_BYTES) -> None:
        super().__init__(store)
        self._shard_bytes = shard_bytes
        self._tars: dict[str, TarShards] = {}

    def add(self, utterance: Utterance) -> None:
        split, record = utterance.split, utterance.record
        if split not in self._tars:
            self._tars[split] = TarShards(self.store, f"{split}-%06d.tar", self._shard_bytes)
        # a sample's key ends at the first dot of its files' names: sampled ids have none
        key, text = record["id"], record["text"]
        self._tars[split].add(
            [
                (f"{key}.flac", utterance.audio),
                (f"{key}.json", json_line(record).encode()),
                (f"{key}.txt", text.encode()),
            ]
        )

    def finish(self) -> None:
        for tars in self._tars.values():
            tars.close()

    def how_to_load(self, split: str) -> str:
        last = self._tars[split].written - 1
        shards = f"{{000000..{last:06d}}}" if last else "000000"
        return (
            "import webdataset\n\n"
            f'data = webdataset.WebDataset("{split}-{shards}.tar", shardshuffle=False)\n'
            'pairs = data.to_tuple("flac", "json")  # bytes'
        )
