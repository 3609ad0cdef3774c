"""Processes of Ray die under a run: actors, tasks, the raylet, the GCS."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from invariants import check_finished, check_idle, check_no_secrets, objects
from rich.console import Console
from small_run import PATIENCE_S, ROOT, SETTINGS, Ended, wait_until

from jobs.clone_voices import clone_voices
from pipeline import actors, flow, storage, tasks
from pipeline.config import load_config

import ray  # isort: skip

pytestmark = [pytest.mark.faults, pytest.mark.ray, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def one_ray():
    cluster = flow.start_ray(load_config(None, SETTINGS).resources)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield cluster
    flow.stop_ray(cluster)


def die_once(marker):
    """kill -9 of this process, unless another was killed for this marker before."""
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def speak_that_dies(marker, before):
    class SpeakThatDies(actors.Speak):
        def __call__(self, table):
            if before:
                die_once(marker)
            spoken = super().__call__(table)
            die_once(marker)
            return spoken

    return SpeakThatDies


def commit_that_dies(marker, moment):
    really_commit = tasks.commit_shard

    def commit_shard(table, run, board):
        if moment == "before its data":
            die_once(marker)
        really_create = storage.LocalStore.create

        def create(self, key, data):
            if moment == "after its data":
                die_once(marker)
            created = really_create(self, key, data)
            die_once(marker)
            return created

        storage.LocalStore.create = create
        try:
            return really_commit(table, run, board)
        finally:
            storage.LocalStore.create = really_create

    return commit_shard


def cloned_under_ray(manifest, out, voices):
    console = Console(file=io.StringIO(), width=200)
    begun = time.monotonic()
    summary = clone_voices(
        manifest, out, load_config(None, [*SETTINGS, f"resources.prompt_cache={voices}"]), console
    )
    return Ended(1 if summary["failed"] else 0, console.file.getvalue(), time.monotonic() - begun)


@pytest.mark.parametrize("moment", ["before it speaks", "after it has spoken"])
@pytest.mark.case(fault="kill -9 of the engine's actor", expect="built anew, as undisturbed", holds="I1-I7")
def test_an_actor_dies(one_ray, drivers, manifest, undisturbed, tmp_path, monkeypatch, moment):
    out, marker = str(tmp_path / "run"), str(tmp_path / "died")
    monkeypatch.setattr(actors, "Speak", speak_that_dies(marker, before=moment == "before it speaks"))
    ended = cloned_under_ray(manifest, out, drivers.voices)
    assert Path(marker).exists(), "it did not die"
    check_finished(out, ended, codes=undisturbed)
    check_idle(out, lambda: drivers.run(manifest, out))


@pytest.mark.parametrize("moment", ["before its data", "after its data", "after its commit"])
@pytest.mark.case(fault="kill -9 of the worker that commits", expect="done again, one commit", holds="I1-I7")
def test_a_worker_dies(one_ray, drivers, manifest, undisturbed, tmp_path, monkeypatch, moment):
    out, marker = str(tmp_path / "run"), str(tmp_path / "died")
    monkeypatch.setattr(tasks, "commit_shard", commit_that_dies(marker, moment))
    ended = cloned_under_ray(manifest, out, drivers.voices)
    assert Path(marker).exists(), "it did not die"
    check_finished(out, ended, codes=undisturbed)
    named = {key for key in objects(out) if key.startswith("data/")}
    assert len(named) == len({key for key in objects(out) if key.startswith("commit/")}), "an orphan is left"
    check_idle(out, lambda: drivers.run(manifest, out))


@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
@pytest.mark.case(
    fault="kill -9 of a part of Ray", expect="the driver ends, not with 0; a rerun finishes", holds="I1-I7"
)
def test_a_part_of_ray_dies(drivers, manifest, undisturbed, tmp_path, name):
    out, log = str(tmp_path / "run"), tmp_path / "driver.log"
    settings = [*SETTINGS, f"resources.prompt_cache={drivers.voices}"]
    with log.open("wb") as said:
        driver = subprocess.Popen(
            [sys.executable, "-m", "jobs.clone_voices", manifest, out, *settings],
            cwd=ROOT,
            stdout=said,
            stderr=said,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    wait_until(lambda: Path(out, "samples").exists() or driver.poll() is not None, "the run has begun")
    parts = [child for child in psutil.Process(driver.pid).children(recursive=True) if child.name() == name]
    assert len(parts) == 1, log.read_text()[-2000:]
    parts[0].kill()
    assert driver.wait(PATIENCE_S) != 0, "I5"
    check_no_secrets(log.read_text())
    assert "_SUCCESS" not in objects(out)
    ended = drivers.run(manifest, out)
    check_finished(out, ended, codes=undisturbed)
    check_idle(out, lambda: drivers.run(manifest, out))
