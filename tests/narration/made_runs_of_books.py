"""Runs as voicemill leaves them, for a narration's rounds: real shards and FLAC, no Ray."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from jobs import narration as job
from pipeline.audio import Waveform, encode_flac
from pipeline.commit import ShardLog
from pipeline.config import RunConfig
from pipeline.narration.options import NarrationOptions
from pipeline.narration.voices import one_voice
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


BOOK = """# The Harbor

## Dawn

The ferry left. Nobody watched it go, I think.

It was cold.

## Dusk

Lights came on.
"""
OPTIONS = NarrationOptions(max_segment_s=2, formats=("flac", "m4b"), subtitles=("srt", "vtt"))


class Speaker:
    """Stands for `clone_voices`: writes the run that it would have made."""

    def __init__(self) -> None:
        self.spoken: list[list[str]] = []
        self.failing: set[str] = set()
        self.rejected: set[str] = set()
        self.stops_after: int | None = None

    def __call__(self, uri: str, out: str, config: RunConfig, console: Console, **_: Any) -> None:
        rows = manifest(uri)
        self.spoken.append([str(row["id"]) for row in rows])
        store = open_store(out)
        store.put("run.json", json.dumps({"settings": {}, "resources": {}, "identity": {}}).encode())
        if self.stops_after is not None:
            write_run(out, [result(i, row) for i, row in enumerate(rows[: self.stops_after])], whole=False)
            raise KeyboardInterrupt
        made = []
        for i, row in enumerate(rows, start=1):
            kind = (
                "failed" if row["id"] in self.failing else "rejected" if row["id"] in self.rejected else "ok"
            )
            made.append(result(i, row) if kind == "ok" else failed(i, row, kind))
        store.delete_folder("data")
        store.delete_folder("commit")
        write_run(out, made)


def narrate(
    folder: Path, book: str = BOOK, options: NarrationOptions = OPTIONS, name: str = "book.md"
) -> dict[str, Any]:
    (folder / name).write_text(book)
    (folder / "anna.wav").write_bytes(b"any bytes")
    cast = job.Cast(one_voice(str(folder / "anna.wav"), "Hello."), "")
    return job.narrate(
        str(folder / name), str(folder / "out"), cast, {}, options, RunConfig(), Console(quiet=True)
    )


def redo(folder: Path, *ids: str, missing: bool = False) -> dict[str, Any]:
    out = str(folder / "out")
    return job.redo(out, ids, job.kept_config(out), Console(quiet=True), missing=missing)
