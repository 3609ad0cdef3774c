"""Runs on a cluster of `RAY_ADDRESS`: several raylets with resources of their own, one of which dies midway."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_manifest import small_manifest

from pipeline import read_results
from pipeline.commit import ShardLog
from pipeline.storage import open_store

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(1500)]
ROOT = Path(__file__).parents[2]
SETTINGS = [
    *("output.shard_rows=2", "model.max_positions=512", "resources.engine_actors=2"),
    *("evaluation.transcriber=none", "evaluation.speaker_encoder=none"),
]
# Ray takes 127.0.0.1 for the machine's outward address, where this cluster does not listen
_ON_LOOPBACK = """
import runpy
from pipeline import flow
flow.ray_constants.ENABLE_RAY_CLUSTER = False
runpy.run_module("jobs.clone_voices", run_name="__main__", alter_sys=True)
"""


class ClusterHere:
    """`cluster_here.py`, and what runs on it."""

    def __init__(self) -> None:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._environment = os.environ | token | {"OMP_NUM_THREADS": "1"}
        self._environment.pop("RAY_ADDRESS", None)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("cluster_here.py"))],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._environment |= {"RAY_ADDRESS": self._answer()}

    def ask(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said, "the cluster ended"
        return said

    def nodes_of(self, actor: str) -> list[str]:
        """The nodes on which actors with that in their name live."""
        actors = json.loads(self.ask("actors"))
        return [node for name, nodes in actors.items() if actor in name for node in nodes]

    def start(self, manifest: Path, out: Path, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _ON_LOOPBACK, str(manifest), str(out), *SETTINGS, *more],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self) -> None:
        self._process.communicate("end\n", timeout=120)


@pytest.fixture
def cluster() -> Iterator[ClusterHere]:
    here = ClusterHere()
    yield here
    here.end()


def wait_until(condition: Callable[[], object], run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert run.poll() is None, f"it ended too early: {run.communicate()[0]}"
        assert time.monotonic() < deadline, "it does not come to where it was to be disturbed"
        time.sleep(0.1)


@pytest.mark.case(
    fault="one of a cluster's three nodes ends midway",
    expect="its actors are built elsewhere; no committed shard is done again",
    holds="I1 I2 I5",
)
def test_a_node_that_dies_costs_no_row(cluster: ClusterHere, tmp_path: Path) -> None:
    nodes = {cluster.ask("add 3 0") for _ in range(2)}
    out = tmp_path / "run"
    run = cluster.start(small_manifest(tmp_path, 60), out)
    log = ShardLog(open_store(str(out)))
    wait_until(log.committed_shards, run)
    before = {commit.shard: commit for commit in log.commits()}
    assert len(before) < 30
    working = cluster.nodes_of("MapWorker")  # what Ray Data calls its actors
    assert set(working) <= nodes
    cluster.ask(f"kill {max(working, key=working.count)}")
    said, _ = run.communicate(timeout=900)
    assert run.returncode == 0, said
    assert (out / "_SUCCESS").exists()
    assert [row["row"] for row in read_results(str(out), ["row"]).to_pylist()] == list(range(1, 61))
    after = {commit.shard: commit for commit in log.commits()}
    assert {shard: after[shard] for shard in before} == before, "a committed shard was done again"


@pytest.mark.case(
    fault="none; a node joins midway", expect="it gets an engine; the run ends whole", holds="I1 I5"
)
def test_a_node_that_joins_gets_an_engine(cluster: ClusterHere, tmp_path: Path) -> None:
    """Each node says it has a GPU, which holds one engine; the model itself stays on the CPU."""
    cluster.ask("add 5 1")
    out = tmp_path / "run"
    more = ("resources.engine_actors=0", "model.device=cpu")
    run = cluster.start(small_manifest(tmp_path, 1000), out, *more)
    wait_until(ShardLog(open_store(str(out))).committed_shards, run)
    at_first = len(cluster.nodes_of("MapWorker"))
    joined = cluster.ask("add 5 1")
    wait_until(lambda: joined in cluster.nodes_of("MapWorker"), run)
    assert len(cluster.nodes_of("MapWorker")) == at_first + 1
    said, _ = run.communicate(timeout=900)
    assert run.returncode == 0, said
    assert [row["row"] for row in read_results(str(out), ["row"]).to_pylist()] == list(range(1, 1001))
