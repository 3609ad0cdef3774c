"""Ctrl-C and SIGTERM, as real signals in a real process: one, several, and one too many."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline.interrupts import Interrupts
from pipeline.reported import reported

WORK = """
import sys, time
from pipeline.reported import reported

def work():
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("ending", flush=True)
        time.sleep({ending_s})
        {then}
    return 0

sys.exit(reported(work))
"""


def start(
    ending_s: float, then: str = "pass", number: signal.Signals = signal.SIGINT
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORK.format(ending_s=ending_s, then=then)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    assert process.stdout.readline() == "ending\n"
    return process


@pytest.mark.parametrize("more", [0, 3])
@pytest.mark.parametrize("then", ["pass", "raise RuntimeError('cut off')"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_stops_and_those_that_follow_are_ignored(
    more: int, then: str, number: signal.Signals
) -> None:
    process = start(0.4, then, number)
    for _ in range(more):
        time.sleep(0.1)
        process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert errors.splitlines() == [
        "voicemill: stopping",
        "voicemill: stopped; the same command resumes from here",
    ]


def test_one_more_after_a_while_ends_it_without_a_traceback() -> None:
    process = start(60)
    time.sleep(5.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=5)
    assert (process.returncode, errors) == (3, "voicemill: stopping\n")


def test_what_was_set_before_comes_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts() as interrupts:
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert not interrupts.happened


@pytest.mark.parametrize("comes", ["never", "while Ray starts", "afterwards"])
def test_sigterm_is_ours_though_ray_sets_its_own(comes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import flow
    from pipeline.config import ResourceConfig

    def init(**options: object) -> None:
        """As ray.init: it ends with the number of the signal, and says nothing."""
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        if comes == "while Ray starts":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(flow.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(flow.ray, "init", init)
    monkeypatch.setattr(flow.ray, "cluster_resources", lambda: {"CPU": 2.0})
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")

    def work() -> int:
        flow.start_ray(ResourceConfig())
        if comes == "afterwards":
            os.kill(os.getpid(), signal.SIGTERM)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    try:
        assert reported(work) == (0 if comes == "never" else 3)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else before)
