"""The last step, without a cluster: the rest of the steps is in test_end_to_end.py."""

from __future__ import annotations

import io

from rich.console import Console
from test_beforehand import Whole, whole

from pipeline import flow
from pipeline.attempts import Attempts
from pipeline.prompt_cache import PromptCache
from pipeline.steps import Session, finish
from pipeline.storage import open_store
from pipeline.telemetry import Telemetry

__all__ = ["whole"]  # the fixture: a run of a good and a bad row


def test_a_run_that_is_whole_keeps_no_notes_of_its_attempts(whole: Whole) -> None:
    run, store = whole.run, whole.run.store
    store.delete("_SUCCESS")
    Attempts(store, "Speak").begin("00000-00000/shard")
    Attempts(open_store(f"{run.uri}/takes/1"), "Speak").begin("00000-00000/shard")
    cluster = flow.Cluster(cpus=1, gpus=0, ours=False)
    console, cache = Console(file=io.StringIO()), PromptCache(store, "none")
    session = Session(run, cluster, cache, console, {}, Telemetry(None))
    assert finish(session)["rows"] == 2
    assert not [key for key in store.list() if "attempts/" in key]
    assert store.exists("_SUCCESS")
    before = sorted(store.list())
    finish(session)
    assert sorted(store.list()) == before
