"""Small runs to make pages of: real shards, real FLAC, scores counted by hand-made hypotheses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pipeline.audio import Waveform, encode_flac
from pipeline.commit import ShardLog
from pipeline.metrics.error_rates import char_errors, error_rate, word_errors
from pipeline.metrics.normalizers import normalizer_for
from pipeline.records import Row, to_table
from pipeline.results import result_schema
from pipeline.storage import open_store

RATE = 8000


def tone(seconds: float, pitch: float = 220.0) -> bytes:
    """A FLAC file."""
    samples = np.sin(2 * np.pi * pitch * np.arange(int(seconds * RATE)) / RATE).astype(np.float32) / 4
    return encode_flac(Waveform(samples, RATE))


def spoken(row: int, text: str, heard: str | None, *, seconds: float = 0.5, **values: object) -> Row:
    """A row that is ok, scored as the pipeline scores it."""
    language = str(values.get("language", "en"))
    made: Row = {
        "status": "ok",
        "row": row,
        "utterance_id": f"utt-{row}",
        "target_text": text,
        "language": language,
        "hypothesis": heard,
        "audio": {"bytes": tone(seconds, 200 + 10 * row), "path": None},
        "num_samples": int(seconds * RATE),
        "duration_s": seconds,
        "similarity": 0.5,
        "finish_reason": "eos",
        "seed": 2**62 + row,
        "model": "test-model@1",
        "codec": "test-codec@1",
        "transcriber": "demo:ear-1",
        "speaker_encoder": "demo:voices-1",
        "normalizer": normalizer_for(language).id,
        "protocol": "voicemill/1",
    }
    if heard is not None:
        normalizer = normalizer_for(language)
        asked, said = normalizer(text), normalizer(heard)
        for name, unit, counts in (
            ("wer", "words", word_errors(asked, said)),
            ("cer", "chars", char_errors(asked, said, spaces=normalizer.unit == "word")),
        ):
            made |= {
                name: error_rate(counts),
                f"{name}_substitutions": counts.substitutions,
                f"{name}_deletions": counts.deletions,
                f"{name}_insertions": counts.insertions,
                f"{name}_reference_{unit}": counts.reference_length,
            }
    return made | values


def failed(row: int, code: str = "uri_not_found", **values: object) -> Row:
    return {
        "status": "failed",
        "row": row,
        "utterance_id": f"utt-{row}",
        "target_text": "Never said.",
        "language": "en",
        "failed_stage": "check_prompt",
        "error_code": code,
        "error_message": "reference: nowhere.flac: no such file",
        "seed": 1,
        **values,
    }


def take(number: int, *reasons: str, **values: object) -> Row:
    """One entry of a row's `takes`."""
    scores = {"wer": 0.0, "cer": 0.0, "similarity": 0.5, "duration_s": 0.5, "finish_reason": "eos"}
    return {
        "take": number,
        "seed": 2**62 + number,
        "status": "ok",
        "reasons": list(reasons),
        **scores,
        **values,
    }


def judged(row: Row, gate: str | None, takes: list[Row], counts: int = -1) -> Row:
    """The row as it counts: by its last take, or the one named."""
    best = takes[counts]
    status = "rejected" if gate == "rejected" else row["status"]
    account = {"gate": gate, "gate_reasons": best["reasons"], "takes": takes, "take": best["take"]}
    return row | account | {"status": status}


def write_run(
    uri: str, rows: list[Row], *, shard_rows: int = 2, whole: bool = True, work: Row | None = None
) -> str:
    """The sound of rejected rows goes into a log of its own, as in pipeline/rounds.py."""
    store = open_store(uri)
    log, kept = ShardLog(store), ShardLog(store, prefix="rejected")
    if work is not None:
        store.put("summary.json", json.dumps({"work": work}).encode())
    for i in range(0, len(rows), shard_rows):
        shard = f"{i:05d}"
        placed = [row | {"shard": shard} for row in rows[i : i + shard_rows]]
        if rejected := [row for row in placed if row["status"] == "rejected"]:
            kept.write_shard(shard, to_table(rejected, result_schema()), "test", {"failed": 0})
        placed = [row | {"audio": None} if row["status"] == "rejected" else row for row in placed]
        log.write_shard(shard, to_table(placed, result_schema()), "test", {"failed": 0})
    record = {
        "fingerprint": "0123456789abcdef",
        "identity": {
            "task": "speak",
            "model": "test-model@1",
            "codec": "test-codec@1",
            "transcriber": "demo:ear-1",
            "speaker_encoder": "demo:voices-1",
        },
        "manifest": "manifest.csv",
        "created_unix_s": 1_790_000_000,
    }
    store.put("run.json", json.dumps(record).encode())
    if whole:
        log.mark_success({})
    return uri


def voice(
    prompt_audio: str | None = None, prompt_text: str | None = None, description: str | None = None
) -> Row:
    """One entry of a row's `voices`."""
    return {"prompt_audio": prompt_audio, "prompt_text": prompt_text, "description": description}


def voice_file(folder: Path, name: str, pitch: float = 150.0) -> str:
    path = folder / f"{name}.flac"
    path.write_bytes(tone(1.5, pitch))
    return str(path)
