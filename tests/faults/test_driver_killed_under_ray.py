"""Kill -9 of the driver, three times, then the same command to the end: the rows of an undisturbed run."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import read_results
from pipeline.commit import ShardLog
from pipeline.storage import open_store

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
VOICES = ROOT / "manifests" / "voices"
SETTINGS = [
    "output.shard_rows=2",
    "resources.num_cpus=2",
    "evaluation.transcriber=none",
    "evaluation.speaker_encoder=none",
]


def start(manifest: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "jobs.clone_voices", str(manifest), str(out), *SETTINGS]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, (
            f"ended before it could be killed: {process.stderr.read().decode()[-2000:]}"
        )  # type: ignore[union-attr]
        assert time.monotonic() < deadline, "the run does not come to where it is to be killed"
        time.sleep(0.02)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def rows(out: Path) -> list[dict[str, object]]:
    return read_results(
        str(out),
        ["row", "utterance_id", "status", "error_code", "codes_sha256", "finish_reason", "num_samples"],
    ).to_pylist()


@pytest.mark.case(
    fault="kill -9 of the driver in its plan, samples and results, under Ray",
    expect="the same command ends it; as undisturbed",
    holds="I1-I4",
)
def test_killed_three_times_then_the_same_as_undisturbed(tmp_path: Path) -> None:
    manifest, killed, undisturbed = tmp_path / "m.csv", tmp_path / "killed", tmp_path / "undisturbed"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "ref", "ref_text", "text"])
        for i in range(9):
            writer.writerow(
                [f"u{i}", VOICES / "slt-1.flac", "The ferry leaves.", f"This is line {'again ' * i}."]
            )
        writer.writerow(["broken", "nowhere.flac", "x", "Never said."])
    log = ShardLog(open_store(str(killed)))

    process = start(manifest, killed)
    wait_for(lambda: (killed / "plan").exists() and any((killed / "plan").iterdir()), process)
    kill(process)
    process = start(manifest, killed)
    wait_for(lambda: (killed / "samples" / "commit").exists(), process)
    kill(process)
    process = start(manifest, killed)
    wait_for(lambda: len(log.committed_shards()) >= 1, process)
    kill(process)
    assert not (killed / "_SUCCESS").exists()
    committed = {commit.shard: commit for commit in log.commits()}

    for out in (killed, undisturbed):
        process = start(manifest, out)
        _, errors = process.communicate(timeout=400)
        assert process.returncode == 1, errors.decode()[-2000:]  # one row is broken
        assert (out / "_SUCCESS").exists()
    assert rows(killed) == rows(undisturbed)
    assert [row["row"] for row in rows(killed)] == list(range(1, 11))
    assert len({row["codes_sha256"] for row in rows(killed)}) == 10
    after = {commit.shard: commit for commit in log.commits()}
    assert {shard: after[shard] for shard in committed} == committed, "a committed shard was done again"
    stored = {f"data/{path.parent.name}/{path.name}" for path in killed.glob("data/*/*.parquet")}
    assert stored == {commit.key for commit in after.values()}, "orphans are left"
