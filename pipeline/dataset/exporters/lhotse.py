"""Lhotse: a cuts manifest beside FLAC files, and Shar, in which cuts and recordings are sharded alike."""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass, field

from pipeline.dataset.exporters.base import SPLIT, Exporter
from pipeline.dataset.exporters.shards import SHARD_BYTES, TarShards
from pipeline.dataset.selection import Utterance
from pipeline.export import json_line
from pipeline.records import Row
from pipeline.storage import Store

_OF_THE_SUPERVISION = ("text", "language", "speaker")


class JsonlGz:
    """Lines, compressed as they come: some hundred bytes each."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._gzip = gzip.GzipFile(filename="", mode="wb", fileobj=self._buffer, mtime=0)

    def add(self, line: str) -> None:
        self._gzip.write(line.encode() + b"\n")

    def close(self) -> bytes:
        self._gzip.close()
        return self._buffer.getvalue()


class LhotseCuts(Exporter):
    name = "lhotse"
    files = rf"{SPLIT}/(cuts\.jsonl\.gz|audio/[A-Za-z0-9-]+\.flac)"

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._cuts: dict[str, JsonlGz] = {}

    def add(self, utterance: Utterance) -> None:
        source = f"{utterance.split}/audio/{utterance.record['id']}.flac"
        self.store.put(source, utterance.audio)
        if utterance.split not in self._cuts:
            self._cuts[utterance.split] = JsonlGz()
        self._cuts[utterance.split].add(json_line(cut(utterance, {"type": "file", "source": source})))

    def finish(self) -> None:
        for split, cuts in self._cuts.items():
            self.store.put(f"{split}/cuts.jsonl.gz", cuts.close())

    def how_to_load(self, split: str) -> str:
        return (
            "from lhotse import CutSet\n\n"
            f'cuts = CutSet.from_file("{split}/cuts.jsonl.gz")\n'
            'cuts = cuts.with_recording_path_prefix(".")  # this folder'
        )


@dataclass
class _Shar:
    """One split: the tar of recordings, and the cuts of the recordings in it."""

    recordings: TarShards
    cuts: JsonlGz = field(default_factory=JsonlGz)
    held: int = 0
    written: int = 0


class LhotseShar(Exporter):
    name = "shar"
    files = rf"{SPLIT}/(cuts\.\d{{6}}\.jsonl\.gz|recording\.\d{{6}}\.tar)"

    def __init__(self, store: Store, shard_bytes: int = SHARD_BYTES) -> None:
        super().__init__(store)
        self._shard_bytes = shard_bytes
        self._splits: dict[str, _Shar] = {}

    def add(self, utterance: Utterance) -> None:
        name = utterance.split
        if name not in self._splits:
            tars = TarShards(self.store, f"{name}/recording.%06d.tar", self._shard_bytes)
            self._splits[name] = _Shar(tars)
        split = self._splits[name]
        # a placeholder: the reader puts in what lies in the tar beside it
        whole = cut(utterance, {"type": "shar", "source": ""})
        split.cuts.add(json_line(whole))
        split.held += 1
        key = utterance.record["id"]
        recording = json_line(whole["recording"]).encode() + b"\n"
        if split.recordings.add([(f"{key}.flac", utterance.audio), (f"{key}.json", recording)]):
            self._write_cuts(name, split)

    def finish(self) -> None:
        for name, split in self._splits.items():
            split.recordings.close()
            if split.held:
                self._write_cuts(name, split)

    def _write_cuts(self, name: str, split: _Shar) -> None:
        self.store.put(f"{name}/cuts.{split.written:06d}.jsonl.gz", split.cuts.close())
        split.cuts, split.held = JsonlGz(), 0
        split.written += 1

    def how_to_load(self, split: str) -> str:
        return f'from lhotse import CutSet\n\ncuts = CutSet.from_shar(in_dir="{split}")'


def cut(utterance: Utterance, source: Row) -> Row:
    """A lhotse MonoCut as its own `to_dict` has it: one recording, one supervision that tells the rest."""
    record = utterance.record
    key, rate = record["id"], record["sample_rate"]
    span = {"start": 0.0, "duration": record["num_samples"] / rate, "channel": 0}
    custom = {
        name: value
        for name, value in record.items()
        if value is not None and name not in ("id", "num_samples", "duration_s", *_OF_THE_SUPERVISION)
    }
    supervision = {"id": key, "recording_id": key, **span}
    supervision |= {name: record[name] for name in _OF_THE_SUPERVISION} | {"custom": custom}
    recording = {
        "id": key,
        "sources": [{**source, "channels": [0]}],
        "sampling_rate": rate,
        "num_samples": record["num_samples"],
        "duration": span["duration"],
        "channel_ids": [0],
    }
    return {"id": key, **span, "supervisions": [supervision], "recording": recording, "type": "MonoCut"}
