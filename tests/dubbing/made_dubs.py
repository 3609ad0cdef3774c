"""Dubs without a model: real manifests, checked for real, spoken by tones into real shards of results."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from rich.console import Console

from pipeline.audio import Waveform, encode_flac
from pipeline.commit import ShardLog
from pipeline.config import RunConfig
from pipeline.preflight import Preflight
from pipeline.records import Row, to_table
from pipeline.results import read_results, result_schema
from pipeline.storage import open_store

RATE = 24_000  # of the model
LEAD_S, TAIL_S = 0.2, 0.3  # silence around a take's speech
PITCHES = {"anna": 300.0, "Ben & Söhne": 500.0, None: 800.0}  # as the voices are named

# of a planned row: the seconds of its speech, and values of the result over those of a good one
Speak = Callable[[Row], tuple[float, dict[str, Any]]]


def voice_file(path: Path, pitch: float) -> Path:
    at = np.arange(2 * RATE) / RATE
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * at), RATE, subtype="PCM_16")
    return path


def sound(row: Row, seconds: float) -> Waveform:
    count = round(seconds * RATE)
    speech = 0.25 * np.sin(2 * np.pi * PITCHES[row["speaker"]] * np.arange(count) / RATE)
    silences = (np.zeros(round(LEAD_S * RATE)), np.zeros(round(TAIL_S * RATE)))
    return Waveform(np.concatenate([silences[0], speech, silences[1]]).astype(np.float32), RATE)


class Speaker:
    """Stands in for jobs.clone_voices: what a run leaves, and of `spoken` the ids of each call."""

    def __init__(self, speak: Speak) -> None:
        self.speak = speak
        self.spoken: list[list[str]] = []
        self.rows: dict[str, Row] = {}

    def __call__(
        self, manifest: str, out: str, config: RunConfig, console: Console, *, take_over: bool
    ) -> Row:
        store = open_store(out)
        log = ShardLog(store)
        known = set()
        if store.exists("run.json"):
            known = set(read_results(out, ["utterance_id"]).column("utterance_id").to_pylist())
        planned = [row for row in Preflight(manifest, config).rows() if row["utterance_id"] not in known]
        self.spoken.append([row["utterance_id"] for row in planned])
        self.rows |= {row["utterance_id"]: row for row in planned}
        store.put("run.json", json.dumps({"fingerprint": "0123456789abcdef"}).encode())
        for shard, begin in enumerate(range(0, len(planned), 32), start=len(known)):
            made = [self._result(row) for row in planned[begin : begin + 32]]
            log.write_shard(f"{shard:05d}", to_table(made, result_schema()), "test", {"failed": 0})
        return {}

    def _result(self, row: Row) -> Row:
        if row["error_code"]:
            return {**row, "status": "failed"}
        seconds, values = self.speak(row)
        clip = sound(row, seconds)
        return {
            **row,
            "status": "ok",
            "gate": "passed",
            "audio": {"bytes": encode_flac(clip), "path": None},
            "num_samples": len(clip.samples),
            "duration_s": clip.duration_s,
            "leading_silence_s": LEAD_S,
            "trailing_silence_s": TAIL_S,
            "wer": (zlib.crc32(row["utterance_id"].encode()) % 100) / 200,
            "similarity": 0.8,
            **values,
        }
