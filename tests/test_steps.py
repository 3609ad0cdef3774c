"""The last step, without a cluster: the rest of the steps is in test_end_to_end.py."""

from __future__ import annotations

import io

import in_process
import pytest
from rich.console import Console
from test_beforehand import Whole, whole

from pipeline import flow, steps
from pipeline.attempts import Attempts
from pipeline.errors import EngineFatalError, RunBusyError, RunConflictError, StorageError
from pipeline.prompt_cache import PromptCache
from pipeline.run import Run
from pipeline.steps import Session, finish, summarise_run
from pipeline.storage import LocalStore, open_store
from pipeline.telemetry import Telemetry

__all__ = ["whole"]  # the fixture: a run of a good and a bad row


def session_of(run: Run) -> Session:
    cluster = flow.Cluster(cpus=1, gpus=0, ours=False)
    console, cache = Console(file=io.StringIO()), PromptCache(run.store, "none")
    return Session(run, cluster, cache, console, {}, Telemetry(None))


def test_a_run_that_is_whole_keeps_no_notes_of_its_attempts(whole: Whole) -> None:
    run, store = whole.run, whole.run.store
    store.delete("_SUCCESS")
    Attempts(store, "Speak").begin("00000-00000/shard")
    Attempts(open_store(f"{run.uri}/takes/1"), "Speak").begin("00000-00000/shard")
    session = session_of(run)
    assert finish(session)["rows"] == 2
    assert not [key for key in store.list() if "attempts/" in key]
    assert store.exists("_SUCCESS")
    before = sorted(store.list())
    finish(session)
    assert sorted(store.list()) == before


@pytest.mark.parametrize(
    ("error", "is_noted"),
    [
        (KeyboardInterrupt(), True),
        (StorageError("the store is gone"), True),
        (RunConflictError("taken over"), True),
        (RuntimeError("no progress in four hours"), False),  # nobody knows why: Ray's, of a hang
        (EngineFatalError("the device failed"), False),
    ],
)
def test_only_a_worker_s_failure_leaves_its_rows_suspected(
    whole: Whole, monkeypatch: pytest.MonkeyPatch, error: BaseException, is_noted: bool
) -> None:
    for name in ("start_ray", "stop_ray"):
        monkeypatch.setattr(flow, name, getattr(in_process, name))
    run, store = whole.run, whole.run.store
    store.delete("_SUCCESS")

    def work() -> None:
        with steps.session(run.uri, "m.csv", "speak", run.config, Console(file=io.StringIO())) as session:
            Attempts(store, "Speak", session.run.session).begin("s/shard")
            raise error

    with pytest.raises(type(error)):
        work()
    assert Attempts(store, "Speak", "next").begin("s/shard").before == (0 if is_noted else 1)


def test_a_driver_that_is_stopped_leaves_a_complete_run_as_it_is(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken over and slept; the other one has completed the run."""
    for name in ("start_ray", "stop_ray"):
        monkeypatch.setattr(flow, name, getattr(in_process, name))
    run = whole.run

    def work() -> None:
        with steps.session(run.uri, "m.csv", "speak", run.config, Console(file=io.StringIO())):
            raise RunBusyError("taken over")

    with pytest.raises(RunBusyError):
        work()
    assert not [key for key in run.store.list() if "attempts/" in key]


def test_finishing_reads_every_commit_once_and_clears_what_lost(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, store = whole.run, whole.run.store
    store.delete("_SUCCESS")
    [shard] = run.results.committed_shards()
    store.put(f"data/{shard}/{'0' * 64}.parquet", b"of an attempt that lost")
    read = []
    get = LocalStore.get
    monkeypatch.setattr(LocalStore, "get", lambda *given: read.append(given[1]) or get(*given))
    assert finish(session_of(run))["rows"] == 2
    # once for all, and once more before what lost against it is deleted
    assert [key for key in read if key.startswith("commit/")] == [f"commit/{shard}.json"] * 2
    assert list(store.list("data")) == [commit.key for commit in run.results.commits()]


def test_a_summary_reads_every_shard_once(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = list(whole.run.results.commits())
    opened = []
    open_object = LocalStore.open
    monkeypatch.setattr(LocalStore, "open", lambda *given: opened.append(given[1]) or open_object(*given))
    summary = summarise_run(whole.run.uri)
    assert summary["rows"] == 2
    assert summary["gates"] is None or summary["gates"]["rows"] <= 2
    assert sorted(opened) == sorted(commit.key for commit in commits)
