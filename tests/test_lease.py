"""One driver per run: who has it, who takes it over, and who is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipeline import lease
from pipeline.errors import RunBusyError, RunConflictError, StorageError
from pipeline.lease import LEASE_KEY, Driver, Lease, driver_of
from pipeline.storage import Store, open_store


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(
        str(tmp_path / "run") if request.param == "local" else request.getfixturevalue("s3") + "/run"
    )


def held(store: Store, said: list[str] | None = None, take_over: bool = False) -> Lease:
    return Lease(store, take_over=take_over, say=(said if said is not None else []).append)


def written(store: Store, driver: Driver) -> None:
    store.put(LEASE_KEY, json.dumps(asdict(driver)).encode())


def elsewhere() -> Driver:
    return replace(lease._this_driver(), host="another-machine", pid=7, since_unix_s=0)


def test_it_is_held_and_released(store: Store) -> None:
    with held(store):
        record = json.loads(store.get(LEASE_KEY))
        assert record["pid"] == os.getpid()
        assert record["heartbeats"] == 0
    assert list(store.list()) == []
    with pytest.raises(ZeroDivisionError), held(store):
        raise ZeroDivisionError
    assert list(store.list()) == [], "released after an error, too"


def test_who_holds_it_can_be_asked(store: Store) -> None:
    assert driver_of(store) is None
    with held(store):
        assert str(driver_of(store)).startswith(f"process {os.getpid()} on ")


def test_a_second_driver_is_told_who_works_on_it_and_what_to_do(store: Store) -> None:
    written(store, elsewhere())
    says = r"process 7 on another-machine \(since 1970-01-01 00:00 UTC\) is working on this run.*--take-over"
    with pytest.raises(RunConflictError, match=says), held(store):
        pytest.fail("two drivers at once")
    assert json.loads(store.get(LEASE_KEY))["host"] == "another-machine", "its lease is left alone"
    assert list(store.list()) == [LEASE_KEY]


def test_taken_over_as_asked(store: Store) -> None:
    written(store, elsewhere())
    said: list[str] = []
    with held(store, said, take_over=True):
        assert json.loads(store.get(LEASE_KEY))["pid"] == os.getpid()
    assert said == ["taking over from process 7 on another-machine (since 1970-01-01 00:00 UTC): as asked"]


def test_a_driver_of_this_machine_that_has_ended_is_known_at_once(store: Store) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    written(store, replace(lease._this_driver(), pid=ended.pid))
    said: list[str] = []
    with held(store, said):
        assert said[0].endswith(": it has ended")


@pytest.mark.parametrize(("silent_s", "is_taken"), [(119, False), (121, True)])
def test_silence_is_measured_by_the_store_s_clock(
    store: Store, monkeypatch: pytest.MonkeyPatch, silent_s: int, is_taken: bool
) -> None:
    written(store, elsewhere())
    # a store whose clock is years from this machine's
    kind = type(store)
    monkeypatch.setattr(kind, "modified", lambda _, key: 1000.0 + silent_s * (key != LEASE_KEY))
    said: list[str] = []
    if is_taken:
        with held(store, said):
            assert said[0].endswith(": no sign of life for 121 s")
    else:
        with pytest.raises(RunConflictError, match="is working on this run"), held(store, said):
            pytest.fail("two drivers at once")


def test_what_replaces_commits_does_not_wake_a_sleeper(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    written(store, elsewhere())
    os.utime(tmp_path / LEASE_KEY, (0, 0))
    careful = Lease(store, take_over=False, say=print, presume_dead=False)
    with pytest.raises(RunBusyError, match="is working on this run"), careful:
        pytest.fail("two at once")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    written(store, replace(lease._this_driver(), pid=ended.pid))
    with careful:
        assert json.loads(store.get(LEASE_KEY))["pid"] == os.getpid()


def test_another_boot_of_a_machine_of_this_name_is_another_machine(tmp_path: Path) -> None:
    """The first pid namespace has the same number on every Linux."""
    store = open_store(str(tmp_path))
    boot, _, namespace = lease._pid_namespace().partition(" ")
    assert namespace.startswith("pid:")
    other = f"{boot[::-1]} {namespace}"
    written(store, replace(lease._this_driver(), pid=2**22 + 1, pid_namespace=other))
    with pytest.raises(RunBusyError), held(store):
        pytest.fail("it may well live")


def test_heartbeats_rewrite_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_HEARTBEAT_S", 0.01)
    beaten = threading.Event()
    really_put = type(store).put

    def put(self: Store, key: str, data: bytes) -> None:
        really_put(self, key, data)
        if json.loads(data)["heartbeats"] == 3:
            beaten.set()

    monkeypatch.setattr(type(store), "put", put)
    with held(store):
        assert beaten.wait(60)


@pytest.mark.parametrize("released", [False, True])
def test_a_driver_that_was_taken_over_stops(
    store: Store, monkeypatch: pytest.MonkeyPatch, released: bool
) -> None:
    monkeypatch.setattr(lease, "_HEARTBEAT_S", 0.01)

    def work_until_stopped() -> None:
        with held(store):
            for _ in range(1000):  # again and again: a heartbeat under way may write over it
                if released:  # the other has come to its end already
                    store.delete(LEASE_KEY)
                else:
                    written(store, elsewhere())
                threading.Event().wait(0.05)
            pytest.fail("it went on")

    with pytest.raises(RunConflictError, match="another driver has taken this run over") as caught:
        work_until_stopped()
    if not released:
        assert "(process 7 on another-machine" in str(caught.value)
        assert json.loads(store.get(LEASE_KEY))["pid"] == 7, "not released by who lost it"


def test_a_store_that_fails_for_a_while_costs_no_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "_HEARTBEAT_S", 0.01)
    store = open_store(str(tmp_path))
    failed = threading.Event()
    really_get = type(store).get

    def get(self: Store, key: str) -> bytes:
        if not failed.is_set():
            failed.set()
            raise StorageError("s3://bucket/run/driver.json: no answer")
        return really_get(self, key)

    with held(store):
        monkeypatch.setattr(type(store), "get", get)
        assert failed.wait(60)
    assert "no heartbeat" in caplog.text
    assert list(store.list()) == []


def test_beside_the_main_thread_it_is_told_at_the_end(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    raised: list[BaseException] = []

    def work() -> None:
        try:
            with held(store) as mine:
                mine._lost = True
        except RunConflictError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert len(raised) == 1


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"id": "x"}'])
def test_a_damaged_lease_is_said(tmp_path: Path, record: bytes) -> None:
    store = open_store(str(tmp_path))
    store.put(LEASE_KEY, record)
    with pytest.raises(RunConflictError, match=r"driver\.json is damaged; .* delete it"), held(store):
        pytest.fail("unknown who has it")
