"""Ctrl-C, as the real signal in a real process: one, several, and one too many."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

WORK = """
import sys, time
from pipeline.cli import reported

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


def start(ending_s: float, then: str = "pass") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORK.format(ending_s=ending_s, then=then)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "ending\n"
    return process


@pytest.mark.parametrize("more", [0, 3])
@pytest.mark.parametrize("then", ["pass", "raise RuntimeError('cut off')"])
def test_the_first_stops_and_those_that_follow_are_ignored(more: int, then: str) -> None:
    process = start(0.4, then)
    for _ in range(more):
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert errors.splitlines() == [
        "voicemill: stopping",
        "voicemill: stopped; the same command goes on from here",
    ]


def test_one_more_after_a_while_ends_it_without_a_traceback() -> None:
    process = start(60)
    time.sleep(5.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=5)
    assert (process.returncode, errors) == (3, "voicemill: stopping\n")
