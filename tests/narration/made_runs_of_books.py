"""Runs as voicemill leaves them, for a narration's rounds: real shards and FLAC, no Ray."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.audio import Waveform, encode_flac
from pipeline.commit import ShardLog
from pipeline.records import Row, to_table
from pipeline.results import result_schema
from pipeline.storage import open_store

RATE = 16_000
SILENCE_S = 0.3  # before and behind what is said


def length_s(text: str) -> float:
    return 0.4 + 0.02 * len(text)


def pitch_of(text: str, seed: int) -> float:
    return 150.0 + (sum(map(ord, text)) + seed) % 300


def sound_of(text: str, seed: int, level: float = 0.1) -> Waveform:
    """Silence, a tone that text and seed determine, silence."""
    t = np.arange(int(length_s(text) * RATE)) / RATE
    tone = level * np.sin(2 * np.pi * pitch_of(text, seed) * t)
    silence = np.zeros(int(SILENCE_S * RATE))
    return Waveform(np.concatenate([silence, tone, silence]).astype(np.float32), RATE)


def result(number: int, row: Mapping[str, object], **values: object) -> Row:
    text, seed = str(row["text"]), int(row.get("seed") or 0)  # type: ignore[call-overload]
    sound = sound_of(text, seed)
    return {
        "row": number,
        "utterance_id": row["id"],
        "target_text": text,
        "language": "en",
        "seed": seed,
        "take": 0,
        "status": "ok",
        "audio": {"bytes": encode_flac(sound), "path": None},
        "sample_rate": RATE,
        "num_samples": len(sound.samples),
        "duration_s": sound.duration_s,
        "leading_silence_s": SILENCE_S,
        "trailing_silence_s": SILENCE_S,
        "codes_sha256": f"{text}:{seed}",
        "wer": 0.0,
    } | values


def failed(number: int, row: Mapping[str, object], status: str = "failed") -> Row:
    silent = {"audio": None, "num_samples": None, "sample_rate": None, "codes_sha256": None}
    if status == "rejected":
        return result(number, row, status=status, gate_reasons=["wer: 0.9 is over 0.3"], audio=None)
    fault = {"failed_stage": "generate_codes", "error_code": "row_timeout", "error_message": "took too long"}
    return result(number, row, status=status, **silent, **fault)


def write_run(uri: str, rows: Sequence[Row], whole: bool = True) -> None:
    """Shards hold the rows in an order that is not the book's, as a plan's do."""
    log = ShardLog(open_store(uri))
    for i, at in enumerate(range(0, len(rows), 3)):
        shard = [row | {"shard": f"{i:05d}"} for row in list(reversed(rows))[at : at + 3]]
        log.write_shard(f"{i:05d}", to_table(shard, result_schema()), "test", {"failed": 0})
    if whole:
        log.mark_success({})


def manifest(uri: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(uri).read_text().splitlines()]
