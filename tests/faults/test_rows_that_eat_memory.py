"""A row that takes all memory, in a real run: Ray's memory monitor ends its worker, and it alone is lost."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from rich.console import Console

from jobs.clone_voices import clone_voices
from pipeline import actors, flow, read_results
from pipeline.config import load_config

import ray  # isort: skip

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(900)]
VOICES = Path(__file__).parents[2] / "manifests" / "voices"
SETTINGS = [
    *("model.checkpoint=standin", "output.shard_rows=2", "resources.num_cpus=2", "model.max_positions=512"),
    *("evaluation.transcriber=none", "evaluation.speaker_encoder=none"),
]
EATER = "row-2"
STEP_BYTES = 256 * 2**20
MORE = 0.15  # of the machine's memory, above what is in use when the test begins, is where Ray steps in


class SpeakAndEat(actors.Speak):
    """The real engine; one row takes memory until its process is ended."""

    def __call__(self, table):
        if EATER in [row["utterance_id"] for row in table.to_pylist() if row["failed_stage"] is None]:
            taken = []
            while psutil.virtual_memory().percent < 90:
                taken.append(np.ones(STEP_BYTES // 8))
            raise AssertionError("Ray let it take nine tenths of the machine's memory")
        return super().__call__(table)


@pytest.fixture(scope="module", autouse=True)
def one_ray():
    with pytest.MonkeyPatch.context() as patch:
        memory = psutil.virtual_memory()
        threshold = 1 - memory.available / memory.total + MORE
        if threshold > 0.85:
            pytest.skip("not enough memory is free for a row to eat")
        patch.setenv("RAY_memory_usage_threshold", f"{threshold:.2f}")
        patch.setenv("RAY_memory_monitor_refresh_ms", "50")
        cluster = flow.start_ray(load_config(None, SETTINGS).resources)
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield cluster
        flow.stop_ray(cluster)


@pytest.mark.case(
    fault="a row takes all memory, and Ray ends its worker",
    expect="it alone is quarantined, its neighbours are spoken",
    holds="I1 I6",
)
def test_a_row_that_eats_memory_is_quarantined_and_its_neighbours_are_spoken(tmp_path, monkeypatch):
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "ref", "ref_text", "text", "max_duration_s"])
        for i in range(6):
            rows.writerow([f"row-{i}", VOICES / "slt-1.flac", "A voice.", f"Sentence {i}.", "0.4"])
    monkeypatch.setattr(actors, "Speak", SpeakAndEat)
    out = tmp_path / "run"
    clone_voices(str(manifest), str(out), load_config(None, SETTINGS), Console(file=io.StringIO()))
    found = read_results(str(out), ["utterance_id", "status", "error_code"]).to_pylist()
    assert sorted((row["utterance_id"], row["status"], row["error_code"]) for row in found) == [
        (f"row-{i}", *(("failed", "quarantined") if f"row-{i}" == EATER else ("ok", None))) for i in range(6)
    ]
