"""The end of a shard: what its committed rows say of themselves. Without Ray."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline import read_results
from pipeline.audio import Waveform
from pipeline.config import load_config
from pipeline.identity import resolve_identity
from pipeline.records import HEARD_ROW, to_table
from pipeline.run import open_run, read_run
from pipeline.stages.decode_codes import utterance_columns
from pipeline.tasks import commit_shard


class NoBoard:
    """Counts nothing, and is no Ray actor."""

    class add:
        @staticmethod
        def remote(*_: object) -> None:
            """As the board's method."""


def test_a_row_says_which_run_made_it_and_how_it_was_heard(tmp_path: Path) -> None:
    config = load_config(None, [])
    identity = replace(resolve_identity("score", config), device="cpu", evaluator_devices="cpu, cpu")
    run = open_run(str(tmp_path / "run"), config, identity, "m.csv")
    tone = Waveform(np.sin(np.arange(16_000) / 9).astype(np.float32) / 4, 16_000)
    row = {"shard": "s", "row": 1, "utterance_id": "u", "language": "en", "target_text": "Good evening."}
    row |= {"hypothesis": "good evening", "category": "greetings"} | utterance_columns(row, tone)
    bad = {"shard": "s", "row": 2, "utterance_id": "v", "language": "en", "category": "greetings"}
    bad |= {"failed_stage": "check_prompt", "error_code": "audio_silent", "error_message": "why"}
    commit_shard(to_table([row, bad], HEARD_ROW), run, NoBoard)
    spoken, failed = read_results(run.uri).to_pylist()
    assert spoken["fingerprint"] == failed["fingerprint"] == read_run(run.uri)["fingerprint"]
    assert spoken["category"] == failed["category"] == "greetings"
    assert spoken["audio_sha256"] == hashlib.sha256(spoken["audio"]["bytes"]).hexdigest()
    assert spoken["transcriber_dtype"] == "float32"
    assert spoken["transcriber_decoding"] == "engine=pocketsphinx; resampler=voicemill"
    assert (spoken["status"], spoken["wer"], failed["status"], failed["audio_sha256"]) == (
        "ok",
        0.0,
        "failed",
        None,
    )
