"""Small data sets: texts and voices by number, and runs of them as a model might have spoken them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pipeline.audio import Waveform, encode_flac
from pipeline.commit import ShardLog
from pipeline.dataset.inputs import Text, Voice
from pipeline.records import Row, bytes_of, to_table
from pipeline.results import result_schema
from pipeline.storage import open_store

RATE = 24_000
FRAME_RATE = 25
CODEBOOKS = 3
RUN = "0123456789abcdef"
_WORDS = [
    "amber",
    "bridge",
    "candle",
    "desert",
    "engine",
    "forest",
    "garden",
    "harbor",
    "island",
    "jungle",
    "kettle",
    "lantern",
]


def sentence(number: int) -> str:
    """Twelve words to the power of four: no two numbers share one."""
    return " ".join(_WORDS[number // 12**i % 12] for i in range(4)).capitalize() + "."


def some_texts(count: int, language: str = "en") -> tuple[Text, ...]:
    return tuple(Text(sentence(i), language, f"{language}:{sentence(i).lower()[:-1]}") for i in range(count))


def some_voices(*speakers: str, language: str | None = "en") -> tuple[Voice, ...]:
    return tuple(Voice(name, f"/voices/{name}.flac", f"I am {name}.", language) for name in speakers)


def speech(frames: int, seed: int = 0) -> bytes:
    """A FLAC file of noise that is loud enough for speech; no two seeds are alike."""
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, frames * RATE // FRAME_RATE)
    return encode_flac(Waveform(samples.astype(np.float32), RATE))


def spoken(number: int, row: Row, frames: int = 20, **values: object) -> Row:
    """The result of a manifest row that passed its gates."""
    codes = np.random.default_rng(number).integers(0, 1024, (CODEBOOKS, frames)).astype(np.uint16)
    return {
        "status": "ok",
        "gate": "passed",
        "gate_reasons": [],
        "row": number,
        "utterance_id": row["id"],
        "target_text": row["text"],
        "hypothesis": row["text"].lower(),
        "prompt_audio": row["ref"],
        "prompt_text": row.get("ref_text"),
        "prompt_id": hashlib.sha256(row["ref"].encode()).hexdigest()[:32],
        "audio": {"bytes": speech(frames, number), "path": None},
        "sample_rate": RATE,
        "num_samples": frames * RATE // FRAME_RATE,
        "duration_s": frames / FRAME_RATE,
        "wer": 0.1,
        "cer": 0.05,
        "similarity": 0.7,
        "seed": 2**62 + number,
        "take": 0,
        "finish_reason": "eos",
        "max_new_frames": 200,
        "codes": bytes_of(codes),
        "codes_shape": list(codes.shape),
        "codes_dtype": "uint16",
        "codes_sha256": hashlib.sha256(bytes_of(codes)).hexdigest(),
        "model": "test-model@1",
        "codec": "test-codec@1",
        "transcriber": "demo:ear-1",
        "speaker_encoder": "demo:voices-1",
        "normalizer": "english/1",
        "protocol": "voicemill/1",
        **{
            n: row.get(n)
            for n in ("language", "speaker", "scene", "temperature", "top_p", "top_k", "consent_id")
        },
        **values,
    }


def rejected(row: Row, *reasons: str) -> Row:
    return row | {"status": "rejected", "gate": "rejected", "gate_reasons": list(reasons), "audio": None}


def warned(row: Row, *reasons: str) -> Row:
    return row | {"gate": "warned", "gate_reasons": list(reasons)}


def failed(row: Row, code: str) -> Row:
    gone = dict.fromkeys(("gate", "gate_reasons", "audio", "duration_s", "codes", "wer", "cer", "similarity"))
    return row | gone | {"status": "failed", "failed_stage": "generate_codes", "error_code": code}


def write_run(uri: str, rows: Sequence[Row], *, shard_rows: int = 3) -> str:
    """A finished run of these rows. Written again with more of them it has grown."""
    store = open_store(uri)
    log = ShardLog(store)
    for i in range(0, len(rows), shard_rows):
        shard = f"00000-{i // shard_rows:05d}"
        placed = [row | {"shard": shard} for row in rows[i : i + shard_rows]]
        log.write_shard(shard, to_table(placed, result_schema()), "test", {"failed": 0})
    record = {
        "fingerprint": RUN,
        "identity": {
            "task": "speak",
            "model": "test-model@1",
            "codec": "test-codec@1",
            "transcriber": "demo:ear-1",
            "speaker_encoder": "demo:voices-1",
        },
        "settings": {"gates": {"max_wer": 0.3, "max_cer": None, "otherwise": "reject", "languages": {}}},
        "manifest": "manifest.jsonl",
    }
    store.put("run.json", json.dumps(record).encode())
    store.put("_SUCCESS", b"{}")
    return uri


def manifest_rows(
    count: int, speakers: Sequence[str], scene: Callable[[int], str | None] = lambda i: None
) -> list[Row]:
    """Rows as sampling writes them, the speakers in turn."""
    return [
        {
            "id": f"{speakers[i % len(speakers)].lower()}-{i:016x}",
            "ref": f"/voices/{speakers[i % len(speakers)]}.flac",
            "ref_text": f"I am {speakers[i % len(speakers)]}.",
            "text": sentence(i),
            "language": "en",
            "speaker": speakers[i % len(speakers)],
            "scene": scene(i),
        }
        for i in range(count)
    ]


def write_lines(path: Path, *lines: str) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(path)
