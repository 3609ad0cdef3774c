"""The command: it lists unless it is told to delete, and its summary counts what is left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from test_withdrawal import everything, run_of
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config import RunConfig, load_config
from pipeline.errors import ConfigError, RunBusyError, RunConflictError
from pipeline.prompt_cache import open_cache
from pipeline.run import Run
from pipeline.storage import Store, open_store


def run_command(*words: str) -> str:
    result = CliRunner().invoke(app, ["withdraw", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return " ".join(result.output.split())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """With its cache where a run's cache is, beside it."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    store = open_store(str(tmp_path / "run"))
    run_of(store, open_store(str(tmp_path / ".prompt-cache")))
    settings = RunConfig().to_dict()
    record = {"identity": {"device": "cpu"}, "resources": settings.pop("resources"), "settings": settings}
    store.put("run.json", json.dumps(record).encode())
    store.put("_SUCCESS", json.dumps({"shards": 1, "rows": 5}).encode())
    store.put("summary.json", b"{}")
    return store


def test_listed_first_then_removed(run: Store, tmp_path: Path) -> None:
    before = everything(run)
    listed = run_command(run.uri, "--consent-id", "C-2")
    assert "8 rows in 3 objects, 4 files and 2 cached voices to remove: add --delete" in listed
    assert "1 rows are not spoken yet" in listed
    assert everything(run) == before
    (tmp_path / "revoked.txt").write_text("c-2  # by letter\n")
    removed = run_command(run.uri, "--revoked", str(tmp_path / "revoked.txt"), "--delete")
    assert "8 rows in 3 objects, 4 files and 2 cached voices removed" in removed
    assert "audio/gone.flac" in removed
    summary = json.loads(run.get("summary.json"))
    assert {name: summary[name] for name in ("rows", "ok", "rejected", "failed")} == {
        "rows": 5,
        "ok": 1,
        "rejected": 0,
        "failed": 4,
    }
    assert not run.exists("driver.json"), "the lease is given back"
    again = run_command(run.uri, "--consent-id", "c-2")
    assert "nothing is held of these consent ids" in again


def test_voices_go_from_every_cache_that_a_session_has_used(run: Store, tmp_path: Path) -> None:
    other = open_store(str(tmp_path / "elsewhere"))
    key = next(key for key in open_store(str(tmp_path / ".prompt-cache")).list() if "p2" in key)
    other.put(key, b"the voice once more")
    config = load_config(None, [f"resources.prompt_cache={other.uri}"])
    open_cache(Run(run, config, identity=None), "encoders")  # type: ignore[arg-type]
    removed = run_command(run.uri, "--consent-id", "c-2", "--delete")
    assert "and 3 cached voices removed" in removed
    assert f"{other.uri}/{key}" in removed
    assert list(other.list()) == []


def test_where_there_is_no_run_nothing_is_said_to_be_gone(tmp_path: Path) -> None:
    with pytest.raises(RunConflictError, match="holds no run"):
        run_command(str(tmp_path / "mistyped"), "--consent-id", "c-2", "--delete")


def test_a_cache_that_only_run_json_names_is_found(run: Store, tmp_path: Path) -> None:
    """Of a run that was made before caches were noted."""
    record = json.loads(run.get("run.json"))
    record["resources"]["prompt_cache"] = str(tmp_path / "theirs")
    run.put("run.json", json.dumps(record).encode())
    key = next(key for key in open_store(str(tmp_path / ".prompt-cache")).list() if "p2" in key)
    open_store(str(tmp_path / "theirs")).put(key, b"the voice once more")
    assert f"{tmp_path}/theirs/{key}" in run_command(run.uri, "--consent-id", "c-2")


def test_a_silent_driver_is_taken_over_only_if_asked(run: Store, tmp_path: Path) -> None:
    lease = {"id": "x", "host": "gone", "pid": 7, "pid_namespace": "", "since_unix_s": 0, "heartbeats": 9}
    run.put("driver.json", json.dumps(lease).encode())
    os.utime(tmp_path / "run" / "driver.json", (0, 0))
    with pytest.raises(RunBusyError, match="--take-over"):
        run_command(run.uri, "--consent-id", "c-2", "--delete")
    assert "8 rows in 3 objects" in run_command(run.uri, "--consent-id", "c-2", "--delete", "--take-over")


def test_a_run_that_is_worked_on_is_left_alone(run: Store) -> None:
    from pipeline.lease import Lease

    with Lease(run, take_over=False, say=print):
        before = everything(run)
        with pytest.raises(RunConflictError, match="is working on this run"):
            run_command(run.uri, "--consent-id", "c-2", "--delete")
        assert everything(run) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no withdrawn ids given"),
        (("--consent-id", "c 2"), "cannot be looked up"),
        (("--revoked", "gone.txt"), "cannot be read"),
    ],
)
def test_it_must_be_told_whose(run: Store, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run_command(run.uri, *words)
