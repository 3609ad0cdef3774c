from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from pipeline import flow  # before ray: it sets what ray reads when it is imported

import ray  # isort: skip
from pipeline.config import load_config
from pipeline.engine.standin import build_random_checkpoint
from pipeline.errors import EngineFatalError, StorageError

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def cluster() -> object:
    cluster = flow.start_ray(load_config(None, ["resources.num_cpus=2"]).resources)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
    yield cluster
    flow.stop_ray(cluster)


class Repeat:
    """A shard of n rows, each of a megabyte."""

    def __call__(self, table: pa.Table) -> pa.Table:
        [row] = table.to_pylist()
        return pa.table({"shard": [row["shard"]] * row["rows"], "heavy": [bytes(2**20)] * row["rows"]})


class Pass:
    def __call__(self, table: pa.Table) -> pa.Table:
        return table


def counted(table: pa.Table) -> pa.Table:
    return pa.table(
        {
            "shards": [len(set(table["shard"].to_pylist()))],
            "rows": [table.num_rows],
            "shard": table["shard"][:1],
        }
    )


@pytest.mark.parametrize("small", [True, False])
def test_a_block_is_a_shard_through_every_stage(cluster: flow.Cluster, small: bool) -> None:
    # above 128 MiB Ray would cut a block, below 1 MiB join several
    sizes = {"a": 1, "b": 200, "c": 2, "d": 1, "e": 150}
    shards = ray.data.from_items(
        [{"shard": s, "rows": n} for s, n in sizes.items()], override_num_blocks=len(sizes)
    )
    size = flow.Cluster(cpus=2 if small else 16, gpus=0, ours=False)
    through = flow._through(shards, [flow.Stage(Repeat, (), 1), flow.Stage(Pass, (), 2)], size)
    seen = list(flow._rows(through.map_batches(counted, **flow._WHOLE_BLOCK)))
    assert {row["shard"]: row["rows"] for row in seen} == sizes
    assert all(row["shards"] == 1 for row in seen)


class SpeakLongTail:
    """An engine of 16 slots over a small random model; a row's text is its number of frames."""

    concurrent = True

    def __init__(self, folder: str) -> None:
        import numpy as np

        from pipeline.engine.checkpoint import load_checkpoint
        from pipeline.engine.continuous_engine import ContinuousEngine
        from pipeline.engine.service import EngineService
        from pipeline.records import SpeakerPrompt

        checkpoint = load_checkpoint(folder, max_positions=512)
        self.format = checkpoint.prompt_format
        codes, silence = np.zeros((2, 10), np.uint16), np.zeros(6400, np.int16)
        self.voice = SpeakerPrompt("v", "Hello.", codes, silence, 0.4, None)
        self.engine = ContinuousEngine(checkpoint, num_slots=16, ignore_eos=True)
        self.service = EngineService(self.engine, max_rows=200, deadline_s=600)

    def __call__(self, table: pa.Table) -> pa.Table:
        from pipeline.engine.base import GenerationItem
        from pipeline.records import SynthesisRequest

        items = []
        for row, frames in enumerate(table["frames"][0].as_py()):
            request = SynthesisRequest(row, f"u{row}", "v.wav", "Hello.", "Go.", "en", row)
            sample = self.format.pack(request, self.voice, max_new_frames=frames)
            items.append(GenerationItem(f"u{row}", sample, row))
        spoken = self.service.speak(items)
        lengths = [one.codes.shape[1] for one in spoken]  # type: ignore[union-attr]
        counters = self.engine.counters
        return pa.table({"lengths": [lengths], "frames": [counters.frames], "steps": [counters.steps]})


def test_slots_stay_busy_through_ray(cluster: flow.Cluster, tmp_path: Path) -> None:
    """600 long-tailed rows in 12 shards: static batches of 16 use 0.29 of the slots (the reference's trial)."""
    build_random_checkpoint(tmp_path, seed=1, name="tiny", note="random", num_codebooks=2, hidden_size=32)
    tail = random.Random(0)
    lengths = [max(8, min(400, int(tail.lognormvariate(3.8, 0.7)))) for _ in range(600)]
    shards = [{"frames": lengths[start : start + 50]} for start in range(0, 600, 50)]
    speaking = flow.Stage(SpeakLongTail, (str(tmp_path),), pool=1)
    through = flow._through(ray.data.from_items(shards, override_num_blocks=12), [speaking], cluster)
    rows = list(flow._rows(through))
    assert sorted(n for row in rows for n in row["lengths"]) == sorted(lengths)
    last = max(rows, key=lambda row: row["frames"])
    # a row of n frames takes n + K - 1 steps after the all-BOS one
    assert last["frames"] == sum(lengths) + 600 * 1
    assert last["frames"] / (16 * last["steps"]) >= 0.93


class DiesOnce:
    """Its first process meets a failed device."""

    def __init__(self, mark: str) -> None:
        self.mark = Path(mark)

    def __call__(self, table: pa.Table) -> pa.Table:
        with flow.actors.a_dead_engine_ends_its_process():
            with self.mark.open("a") as file:
                file.write(f"{os.getpid()}\n")
            if len(set(self.mark.read_text().split())) == 1:
                raise EngineFatalError("CUDA error: an illegal memory access was encountered")
        return table


class DiesAlways(DiesOnce):
    def __call__(self, table: pa.Table) -> pa.Table:
        with flow.actors.a_dead_engine_ends_its_process():
            raise EngineFatalError("CUDA error: an illegal memory access was encountered")


def test_a_dead_engine_is_built_anew_and_its_shards_are_done_again(
    cluster: flow.Cluster, tmp_path: Path
) -> None:
    shards = ray.data.from_items([{"shard": str(i)} for i in range(4)], override_num_blocks=4)
    stage = flow.Stage(DiesOnce, (str(tmp_path / "pids"),), 1)
    rows = list(flow._rows(flow._through(shards, [stage], cluster)))
    assert sorted(row["shard"] for row in rows) == ["0", "1", "2", "3"]
    assert len(set((tmp_path / "pids").read_text().split())) == 2


def test_an_engine_that_dies_again_ends_the_run_with_its_reason(
    cluster: flow.Cluster, tmp_path: Path
) -> None:
    stage = flow.Stage(DiesAlways, (str(tmp_path / "pids"),), 1)
    with pytest.raises(EngineFatalError, match="illegal memory access"):
        list(flow._rows(flow._through(ray.data.from_items([{"shard": "a"}]), [stage], cluster)))


class Broken:
    def __call__(self, table: pa.Table) -> pa.Table:
        raise StorageError("s3://bucket/x: the store does not answer; check the endpoint")


def test_our_errors_come_back_from_workers_as_they_were(cluster: flow.Cluster) -> None:
    one = ray.data.from_items([{"shard": "a"}])
    with pytest.raises(StorageError, match=r"^s3://bucket/x: the store does not answer; check the endpoint$"):
        list(flow._rows(flow._through(one, [flow.Stage(Broken, (), 1)], cluster)))


class Hangs:
    def __call__(self, table: pa.Table) -> pa.Table:
        time.sleep(600)
        return table


def test_a_worker_that_hangs_ends_the_run_as_a_dead_one_does(
    cluster: flow.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows stay suspected: see attempts.py."""
    monkeypatch.setattr(ray.data.DataContext.get_current(), "execution_no_progress_timeout_s", 15)
    one = ray.data.from_items([{"shard": "a"}])
    with pytest.raises(EngineFatalError, match="a worker hangs; run the same command again"):
        list(flow._rows(flow._through(one, [flow.Stage(Hangs, (), 1)], cluster)))


def test_ray_listens_on_loopback_only(cluster: flow.Cluster) -> None:
    """Every listening socket of Ray's processes, from /proc: nothing on another address."""
    sockets = {inode for pid in _family(os.getpid()) for inode in _sockets(pid)}
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and cells[9] in sockets:
                addresses.add(cells[1].rpartition(":")[0])
    # 127.0.0.1, and the same mapped into IPv6, as the kernel writes them
    assert addresses
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}


def _family(root: int) -> list[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            cells = path.read_text().rpartition(") ")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        parents[int(path.parent.name)] = int(cells[1])
    family = [root]
    for pid in family:
        family += [child for child, parent in parents.items() if parent == pid and child not in family]
    return family


def _sockets(pid: int) -> list[str]:
    found = []
    for path in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = os.readlink(path)
        except OSError:
            continue
        if target.startswith("socket:["):
            found.append(target[8:-1])
    return found


def test_the_token_of_a_private_ray_is_in_no_file() -> None:
    code = (
        "import os, pathlib, tempfile\n"
        "home = tempfile.mkdtemp(); os.environ['HOME'] = home\n"
        "from pipeline import flow; from pipeline.config import load_config\n"
        "flow.stop_ray(flow.start_ray(load_config(None, ['resources.num_cpus=1']).resources))\n"
        "print([str(p) for p in pathlib.Path(home).rglob('*token*')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("gpus", "private", "settings", "sizes"),
    [
        (0, True, (), (1, 1)),
        (2, True, (), (2, 2)),  # a private Ray has no nodes to come
        (2, False, (), (2, None)),
        (2, False, ("engine_actors=3",), (3, 3)),
        (2, False, ("engine_actors=3", "engine_actors_max=5"), (3, 5)),
        (4, False, ("engine_actors_max=3",), (4, 4)),
        (0, False, ("engine_actors_max=3",), (1, 3)),
    ],
)
def test_engines_follow_the_gpus_of_a_cluster_that_grows(gpus, private, settings, sizes) -> None:
    config = load_config(None, [f"resources.{setting}" for setting in settings])
    work = SimpleNamespace(
        cluster=flow.Cluster(16, gpus, ours=True, private=private), run=SimpleNamespace(config=config)
    )
    pool = config.resources.engine_actors or max(1, gpus)
    stage = flow.Stage(Pass, (), pool=pool, most=flow._most_engines(work))
    least, most = sizes
    strategy = stage.compute(4, alone=False)
    assert strategy.min_size == least
    assert strategy.max_size == (float("inf") if most is None else most)
    alone = stage.compute(4, alone=True)
    assert (alone.min_size, alone.max_size) == (1, 1)
