"""Audio that exists already, as others made it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from pipeline.audio import decode_audio
from pipeline.records import Row
from pipeline.stages.load_utterance import STAGE, load_utterances
from pipeline.uri_rules import UriRules

VOICE = Path(__file__).parents[2] / "manifests" / "voices" / "slt-1.flac"


def written(path: Path, samples: np.ndarray) -> str:
    soundfile.write(path, samples, 16_000, format="WAV", subtype="FLOAT")
    return str(path)


def row(uri: str) -> Row:
    return {"row": 1, "utterance_id": "u", "failed_stage": None, "audio_uri": uri}


def loaded(uri: str, **rules: object) -> Row:
    [out] = load_utterances([row(uri)], 10**6, 2.0, UriRules(**rules))
    return out


def test_a_clip_is_kept_as_flac(tmp_path: Path) -> None:
    samples = np.sin(np.arange(8000) / 9) / 2
    out = loaded(written(tmp_path / "a.wav", np.stack([samples, samples], axis=1)))
    assert (out["sample_rate"], out["num_samples"], out["duration_s"]) == (16_000, 8000, 0.5)
    assert np.allclose(decode_audio(out["audio"]["bytes"]).samples, samples, atol=1e-4)
    assert out["audio"]["path"] == "u.flac"
    assert out["audio_sha256"] == hashlib.sha256(out["audio"]["bytes"]).hexdigest()


@pytest.mark.parametrize(
    ("samples", "code"),
    [
        (np.full(1000, np.nan), "audio_nan"),
        (np.full(1000, np.inf), "audio_nan"),
        (np.zeros(32_001), "audio_too_long"),
        (np.zeros((100, 9)), "audio_too_many_channels"),
        (np.zeros(0), "audio_empty"),
    ],
    ids=["NaN", "infinity", "too long", "nine channels", "nothing"],
)
def test_faults_of_the_audio_are_faults_of_the_row(tmp_path: Path, samples: np.ndarray, code: str) -> None:
    out = loaded(written(tmp_path / "a.wav", samples))
    assert (out["failed_stage"], out["error_code"]) == (STAGE, code)


def test_rows_are_held_to_the_rules_of_the_job(tmp_path: Path) -> None:
    uri = written(tmp_path / "a.wav", np.zeros(100))
    assert loaded(uri, allowed_prefixes=("/elsewhere",))["error_code"] == "uri_prefix_not_allowed"
    assert loaded("http://127.0.0.1:9/a.wav")["error_code"] == "uri_address_not_allowed"
    assert loaded(f"{tmp_path}/run.parquet#7")["error_code"] == "uri_not_found"


@pytest.mark.parametrize("table", [None, pa.table({"id": [1]})], ids=["junk", "another table"])
def test_a_parquet_file_that_is_no_shard_is_a_fault(tmp_path: Path, table: pa.Table | None) -> None:
    if table is None:
        (tmp_path / "x.parquet").write_bytes(b"PAR1junk")
    else:
        pq.write_table(table, tmp_path / "x.parquet")
    assert loaded(f"{tmp_path}/x.parquet#1")["error_code"] == "audio_unreadable"


def test_a_clip_out_of_a_shard(tmp_path: Path) -> None:
    flac = VOICE.read_bytes()
    shard = pa.table({"row": [7, 8], "audio": [{"bytes": flac, "path": "a.flac"}, None]})
    pq.write_table(shard, tmp_path / "x.parquet")
    out = load_utterances([row(f"{tmp_path}/x.parquet#7"), row(f"{tmp_path}/x.parquet#8")], 10**6, 30.0)
    assert np.allclose(decode_audio(out[0]["audio"]["bytes"]).samples, decode_audio(flac).samples, atol=1e-4)
    assert out[1]["error_code"] == "uri_not_found"
