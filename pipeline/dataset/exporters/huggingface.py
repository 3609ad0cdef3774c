"""Hugging Face `datasets`: Parquet shards with an Audio column, and the card that names them."""

from __future__ import annotations

import json
from collections.abc import Collection

import pyarrow as pa

from pipeline.dataset.card import Card, hub_header
from pipeline.dataset.exporters.base import SPLIT, Exporter
from pipeline.dataset.exporters.shards import ParquetShards
from pipeline.dataset.selection import RECORD, Utterance
from pipeline.records import AUDIO_STRUCT
from pipeline.storage import Store

# the mark is the schema metadata of `datasets.Features.arrow_schema`, as in results.py
_AUDIO = {"huggingface": json.dumps({"info": {"features": {"audio": {"_type": "Audio"}}}})}
_SCHEMA = pa.schema([pa.field("audio", AUDIO_STRUCT), *RECORD]).with_metadata(_AUDIO)


class HuggingFace(Exporter):
    name = "huggingface"
    files = rf"data/{SPLIT}-\d{{5}}\.parquet"

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._shards: dict[str, ParquetShards] = {}

    def add(self, utterance: Utterance) -> None:
        split, record = utterance.split, utterance.record
        if split not in self._shards:
            self._shards[split] = ParquetShards(self.store, f"data/{split}-%05d.parquet", _SCHEMA)
        audio = {"bytes": utterance.audio, "path": f"{record['id']}.flac"}
        self._shards[split].add(record | {"audio": audio}, len(utterance.audio))

    def finish(self) -> None:
        for shards in self._shards.values():
            shards.close()

    def how_to_load(self, split: str) -> str:
        return 'from datasets import load_dataset\n\ndata = load_dataset("huggingface")  # this folder'

    def head(self, card: Card, splits: Collection[str]) -> str:
        return hub_header(card, {split: f"data/{split}-*.parquet" for split in splits})
