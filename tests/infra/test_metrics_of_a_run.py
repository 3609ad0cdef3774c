"""What a run's metrics file says is what its results say."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from small_manifest import small_manifest

from jobs.clone_voices import clone_voices
from pipeline import read_results
from pipeline.config import load_config

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]
SETTINGS = [
    *("output.shard_rows=2", "resources.num_cpus=2", "model.max_positions=512"),
    *("evaluation.transcriber=none", "evaluation.speaker_encoder=none"),
]


def test_the_file_agrees_with_the_results(tmp_path: Path) -> None:
    file = tmp_path / "night.prom"
    manifest = small_manifest(tmp_path, 6, more=[["broken", "nowhere.flac", "x", "Never said.", "0.4"]])
    config = load_config(None, [*SETTINGS, f"resources.metrics_file={file}"])
    clone_voices(str(manifest), str(tmp_path / "run"), config, Console(file=io.StringIO()))
    rows = read_results(str(tmp_path / "run"), ["status", "num_samples", "sample_rate"]).to_pylist()
    spoken = [row for row in rows if row["status"] == "ok"]
    lines = [line.rpartition(" ") for line in file.read_text().splitlines() if not line.startswith("#")]
    said = {name.replace('pipeline="night",', ""): float(value) for name, _, value in lines}
    assert said['voicemill_rows_total{stage="commit",outcome="ok"}'] == len(spoken) == 6
    assert said['voicemill_run_rows{outcome="failed"}'] == len(rows) - 6 == 1
    assert said['voicemill_rows_planned{stage="commit"}'] == 6
    seconds = sum(row["num_samples"] / row["sample_rate"] for row in spoken)
    assert said['voicemill_audio_seconds_total{stage="decode_codes"}'] == pytest.approx(seconds, rel=0.01)
    shards = len(list((tmp_path / "run" / "commit").iterdir()))
    assert said['voicemill_commits_total{pipeline="night"}'] == shards == 4
    frames = said['voicemill_engine_frames_total{pipeline="night"}']
    assert 0 < frames <= said['voicemill_engine_slot_steps_total{pipeline="night"}']
    assert said['voicemill_run_success_timestamp_seconds{pipeline="night"}'] > 0
