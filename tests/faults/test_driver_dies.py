"""A driver dies, stops or meets another one. Its graphs run in its own process: Ray has its own tests."""

from __future__ import annotations

import os
import random
import signal

import pytest
from invariants import check_broken_off, check_finished, check_idle, objects
from small_run import PATIENCE_S, go_on, is_stopped, wait_until

from pipeline.garbage import collect_garbage

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


@pytest.mark.quick
@pytest.mark.case(fault="none", expect="whole; a rerun does nothing", holds="I1-I5 I7")
def test_undisturbed(drivers, manifest, undisturbed, tmp_path):
    out = str(tmp_path / "run")
    assert check_finished(out, drivers.run(manifest, out)) == undisturbed
    check_idle(out, lambda: drivers.run(manifest, out))


def moments(seed):
    """Three moments at which drivers of one run are killed.

    An undisturbed one makes 26 writes: a trial of the store, the lease, run.json, the plan, samples and
    results of 4 shards with their commits, and the end. Those that go on make fewer.
    """
    draw = random.Random(seed)
    return [
        (draw.randint(1, last), draw.choice(["before", "half", "after"]), "kill") for last in (12, 12, 16)
    ]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.case(
    fault="kill -9 of the driver at two or three random writes, then resumed; seed",
    expect="as undisturbed",
    holds="I1-I7",
)
def test_killed_at_random_moments(drivers, manifest, undisturbed, tmp_path, seed):
    out = str(tmp_path / "run")
    killed = 0
    for moment in moments(seed):
        ended = drivers.run(manifest, out, moment=moment)
        assert ended.seconds < PATIENCE_S, "I6"
        if ended.code != -signal.SIGKILL:  # it had fewer writes left than that
            break
        killed += 1
        check_broken_off(out, ended)
    assert killed >= 2
    ended = drivers.run(manifest, out)
    check_finished(out, ended, codes=undisturbed)
    check_idle(out, lambda: drivers.run(manifest, out))


@pytest.mark.parametrize(
    ("write", "when"),
    [
        pytest.param(3, "after", id="at its lease"),
        pytest.param(6, "before", id="before the plan"),
        pytest.param(13, "half", id="half way through a result", marks=pytest.mark.quick),
        pytest.param(14, "before", id="before a commit"),
        pytest.param(20, "after", id="later"),
    ],
)
@pytest.mark.case(
    fault="SIGTERM of the driver",
    expect="it says how to go on, exit 3, no lease left; a rerun ends as undisturbed",
    holds="I1-I7",
)
def test_asked_to_stop(drivers, manifest, undisturbed, tmp_path, write, when):
    out = str(tmp_path / "run")
    ended = drivers.run(manifest, out, moment=(write, when, "term"))
    assert ended.code == 3, ended.said[-1000:]
    said = ended.said.splitlines()
    assert "voicemill: stopping" in said
    assert said[-1] == "voicemill: stopped; the same command resumes from here"
    assert ended.seconds < PATIENCE_S, "I6"
    assert "driver.json" not in objects(out), "it still holds its lease"
    assert not list((tmp_path / "run").rglob(".*.partial")), "it left half a file"
    check_broken_off(out, ended)
    check_finished(out, drivers.run(manifest, out), codes=undisturbed)
    check_idle(out, lambda: drivers.run(manifest, out))


@pytest.mark.case(
    fault="three drivers at once that heed no lease", expect="one commit each, as undisturbed", holds="I1-I4"
)
def test_three_drivers_at_once(drivers, manifest, undisturbed, tmp_path):
    out = str(tmp_path / "run")
    pids = [drivers.start(manifest, out, lease_off=True) for _ in range(3)]
    for ended in [drivers.wait(pid) for pid in pids]:
        check_finished(out, ended, codes=undisturbed)
    check_idle(out, lambda: drivers.run(manifest, out))


@pytest.mark.case(
    fault="a driver stopped in its first result, taken over, and continued",
    expect="the second finishes; the first says who has the run, exit 3",
    holds="I1-I7",
)
def test_a_stopped_driver_that_goes_on(drivers, manifest, undisturbed, tmp_path):
    out = str(tmp_path / "run")
    first = drivers.start(manifest, out, moment=(14, "after", "stop"), heartbeat_s=0.2)
    wait_until(lambda: is_stopped(first), "the first driver stops")
    refused = drivers.run(manifest, out)
    assert refused.code == 3
    assert f"process {first} on " in refused.said
    assert "is working on this run" in refused.said
    assert "--take-over" in refused.said
    second = drivers.run(manifest, out, take_over=True)
    assert f"taking over from process {first}" in second.said
    check_finished(out, second, codes=undisturbed)
    whole = objects(out)
    go_on(first)
    ended = drivers.wait(first)
    assert ended.code == 3, ended.said[-1000:]
    assert "another driver has taken this run over" in ended.said
    settled = {key: data for key, data in objects(out).items() if not key.startswith("data/")}
    assert settled == {key: data for key, data in whole.items() if not key.startswith("data/")}
    check_finished(out, second, codes=undisturbed)


@pytest.mark.case(
    fault="a driver stopped in its first result whose run another has finished, continued, no lease",
    expect="it takes the other's commits for its own",
    holds="I1-I4",
)
def test_a_zombie_that_nobody_stops(drivers, manifest, undisturbed, tmp_path):
    out = str(tmp_path / "run")
    first = drivers.start(manifest, out, moment=(14, "after", "stop"), lease_off=True)
    wait_until(lambda: is_stopped(first), "the first driver stops")
    second = drivers.run(manifest, out, take_over=True)
    check_finished(out, second, codes=undisturbed)
    commits = {key: data for key, data in objects(out).items() if key.startswith("commit/")}
    go_on(first)
    check_finished(out, drivers.wait(first), codes=undisturbed)
    assert {key: data for key, data in objects(out).items() if key.startswith("commit/")} == commits
    check_idle(out, lambda: drivers.run(manifest, out))


@pytest.mark.quick
@pytest.mark.case(
    fault="kill -9 between a result's data and its commit, and in the middle of a file",
    expect="a rerun finishes; gc takes the leftovers after their grace, and nothing else",
    holds="I1 I2 I5",
)
def test_leftovers_are_collected(drivers, manifest, undisturbed, tmp_path):
    out = tmp_path / "run"
    ended = drivers.run(manifest, str(out), moment=(13, "half", "kill"))
    assert ended.code == -signal.SIGKILL
    check_broken_off(str(out), ended)
    partial = list(out.rglob(".*.partial"))
    assert len(partial) == 1
    check_finished(str(out), drivers.run(manifest, str(out)), codes=undisturbed)
    assert collect_garbage(str(out), 3600, delete=True) == [], "it is young"
    for path in out.rglob("*"):
        os.utime(path, (1, 1))
    named = partial[0].relative_to(out).as_posix()
    assert collect_garbage(str(out), 3600, delete=False) == [named]
    assert partial[0].exists(), "only shown"
    assert collect_garbage(str(out), 3600, delete=True) == [named]
    assert not partial[0].exists()
    check_idle(str(out), lambda: drivers.run(manifest, str(out)))
