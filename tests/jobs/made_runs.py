"""Finished runs made by hand: real shards and FLAC, transcripts and similarities as given."""

from __future__ import annotations

import io
import json

import numpy as np
from rich.console import Console

from pipeline.audio import Waveform, encode_flac
from pipeline.commit import ShardLog
from pipeline.records import Row, to_table
from pipeline.results import result_schema
from pipeline.storage import open_store

RATE = 8000


def tone(seconds: float) -> bytes:
    samples = np.sin(0.2 * np.arange(int(seconds * RATE))).astype(np.float32) / 4
    return encode_flac(Waveform(samples, RATE))


def spoken(
    number: int, text: str, heard: str | None = None, *, seconds: float = 0.1, **values: object
) -> Row:
    return {
        "status": "ok",
        "row": number,
        "utterance_id": f"utt-{number}",
        "target_text": text,
        "language": "en",
        "hypothesis": heard,
        "audio": {"bytes": tone(seconds), "path": None},
        "num_samples": int(seconds * RATE),
        "prompt_audio": f"voice-{number % 3}",
        "similarity": 0.5,
        **values,
    }


def failed(number: int, text: str = "Never said.", **values: object) -> Row:
    fault = {"failed_stage": "generate_codes", "error_code": "quarantined", "error_message": "why"}
    return (
        spoken(number, text)
        | fault
        | {
            "status": "failed",
            "audio": None,
            "num_samples": None,
            "similarity": None,
            **values,
        }
    )


def write_run(uri: str, rows: list[Row], *, transcriber: str = "demo:ear-1", whole: bool = True) -> str:
    store = open_store(uri)
    log = ShardLog(store)
    for i in range(0, len(rows), 2):
        placed = [row | {"shard": f"{i:05d}"} for row in rows[i : i + 2]]
        log.write_shard(f"{i:05d}", to_table(placed, result_schema()), "test", {"failed": 0})
    identity = {
        "task": "speak",
        "model": "m@1",
        "transcriber": transcriber,
        "speaker_encoder": "demo:voices-1",
    }
    store.put("run.json", json.dumps({"identity": identity, "settings": {}}).encode())
    if whole:
        log.mark_success({})
    return uri


def console() -> Console:
    return Console(file=io.StringIO(), width=160, no_color=True)


def printed(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]
