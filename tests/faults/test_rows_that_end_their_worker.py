"""A row whose process ends with it, in a real run: it alone is lost."""

from __future__ import annotations

import csv
import io
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from jobs.clone_voices import clone_voices
from pipeline import actors, flow, read_results
from pipeline.config import load_config

import ray  # isort: skip

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(900)]
VOICES = Path(__file__).parents[2] / "manifests" / "voices"
SETTINGS = [
    *("model.checkpoint=standin", "output.shard_rows=4", "resources.num_cpus=2", "model.max_positions=512"),
    *("evaluation.transcriber=none", "evaluation.speaker_encoder=none"),
]
KILLER = "row-2"


class SpeakAndExit(actors.Speak):
    """The real engine; one row ends the process, as a crash in native code would."""

    def __call__(self, table):
        if KILLER in [row["utterance_id"] for row in table.to_pylist() if row["failed_stage"] is None]:
            os._exit(1)
        return super().__call__(table)


@pytest.fixture(scope="module", autouse=True)
def one_ray():
    cluster = flow.start_ray(load_config(None, SETTINGS).resources)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield cluster
    flow.stop_ray(cluster)


def spoken(manifest, out):
    clone_voices(str(manifest), str(out), load_config(None, SETTINGS), Console(file=io.StringIO()))
    rows = read_results(str(out), ["utterance_id", "status", "error_code", "codes_sha256"]).to_pylist()
    return {row.pop("utterance_id"): row for row in rows}


def test_a_row_that_ends_its_worker_is_quarantined_and_its_neighbours_are_as_ever(tmp_path, monkeypatch):
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "ref", "ref_text", "text", "max_duration_s"])
        for i in range(8):
            rows.writerow([f"row-{i}", VOICES / "slt-1.flac", "A voice.", f"Sentence {i}.", "0.4"])
    plain = spoken(manifest, tmp_path / "runs" / "plain")
    monkeypatch.setattr(actors, "Speak", SpeakAndExit)
    hurt = spoken(manifest, tmp_path / "runs" / "hurt")
    assert (hurt[KILLER]["status"], hurt[KILLER]["error_code"]) == ("failed", "quarantined")
    assert {n: r for n, r in hurt.items() if n != KILLER} == {n: r for n, r in plain.items() if n != KILLER}
