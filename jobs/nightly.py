"""A night's run, supervised: whatever kills it, it is resumed, until it is complete or the night is over.

    python -m jobs.nightly MANIFEST OUT [--config JOB.toml] [--set section.key=value ...]
                           [--attempts 5] [--deadline 06:30|8h] [--wait 10s] [--grace 60s]

The run is a process of its own (`voicemill run`), so that nothing in it takes the supervisor along. SIGTERM
(a machine that is taken back, `systemctl stop`) and Ctrl-C are passed on to it as Ctrl-C, which ends it
cleanly. The last line is JSON for the scheduler. Exit codes: 0 and 1 as those of a complete run (all rows ok,
some failed or rejected), 2 nothing that another attempt would fix, 3 not complete.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.command_options import job_parser
from pipeline.commit import ShardLog
from pipeline.errors import VoicemillError, printable
from pipeline.plan import planned_shards
from pipeline.reported import reported
from pipeline.storage import open_store

_LONGEST_WAIT_S = 300.0
_LONGEST_SELECT_S = 3600.0  # it takes no infinity, and a clock may be set meanwhile
_TO_THE_RUN = (signal.SIGTERM, signal.SIGINT)
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_CLOCK_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


@dataclass
class Night:
    """How often the run was begun, what each attempt ended with, and why there is no other."""

    codes: list[int] = field(default_factory=list)  # of the processes; -9: killed by signal 9
    ended_by: str = ""  # done, usage, attempts, deadline, or a signal's name
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        if self.ended_by == "done":
            return 1 if self.summary["failed"] or self.summary["rejected"] else 0
        return 2 if self.ended_by == "usage" else 3


class Signals:
    """`with Signals() as signals:` in the main thread; `wait` gives those that come, none is lost."""

    def __enter__(self) -> Signals:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._writer.fileno())
        numbers = (signal.SIGCHLD, *_TO_THE_RUN)
        # a handler of Python's own is what makes it write to the wakeup fd
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def wait(self, until: float) -> signal.Signals | None:
        """The next signal, or None when the clock has come to `until` (seconds since 1970)."""
        while True:
            left_s = max(0.0, min(until - time.time(), _LONGEST_SELECT_S))
            if select.select([self._reader], [], [], left_s)[0]:
                return signal.Signals(self._reader.recv(1)[0])
            if time.time() >= until:
                return None

    @staticmethod
    def _note(number: int, frame: FrameType | None) -> None:
        """The wakeup fd has told already."""


def supervise(
    command: Sequence[str], summary: Path, attempts: int, deadline: float, wait_s: float, grace_s: float
) -> Night:
    """Runs `command` until it writes `summary`, as `--summary` does, or until there is a reason not to."""
    night = Night()
    with Signals() as signals:
        while True:
            code, stopped_by = _attempt(command, signals, deadline, grace_s)
            night.codes.append(code)
            if summary.exists():  # 1 is Python's code of a crash, too: only this says that it is complete
                night.summary = json.loads(summary.read_text())
                night.ended_by = "done"
            elif code == 2:
                night.ended_by = "usage"
            elif stopped_by:
                night.ended_by = stopped_by
            elif len(night.codes) == attempts:
                night.ended_by = "attempts"
            else:
                pause_s = min(_LONGEST_WAIT_S, wait_s * 2 ** (len(night.codes) - 1))
                _say(f"attempt {len(night.codes)} {_ended(code)}; the next one begins in {pause_s:g} s")
                night.ended_by = _pause(signals, min(time.time() + pause_s, deadline), deadline)
            if night.ended_by:
                return night


def _attempt(
    command: Sequence[str], signals: Signals, deadline: float, grace_s: float
) -> tuple[int, str | None]:
    """The exit code of one attempt (negative: the signal), and what made us end it, if anything did."""
    # in a session of its own: a terminal's Ctrl-C comes to it once, from here
    run = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own command line
    stopped_by, until = None, deadline
    while run.poll() is None:
        came = signals.wait(until)
        if came is None and stopped_by is not None:
            _say(f"it did not end within {grace_s:g} s and is killed")
            run.kill()
            run.wait()
        elif came is None or came in _TO_THE_RUN:
            if stopped_by is None:
                stopped_by = "deadline" if came is None else came.name
                _say(f"{stopped_by}: stopping the run; what is committed stays")
                until = time.time() + grace_s
            run.send_signal(signal.SIGINT)
    return run.returncode, stopped_by


def _pause(signals: Signals, until: float, deadline: float) -> str:
    """What ends the night meanwhile, or nothing."""
    while (came := signals.wait(until)) is not None:
        if came in _TO_THE_RUN:
            return came.name
    return "deadline" if time.time() >= deadline else ""


def _how_far(out: str) -> dict[str, int | None]:
    """The rows that are planned and those that are committed."""
    try:
        store = open_store(out)
        shards, done = planned_shards(store), ShardLog(store).committed_shards()
    except VoicemillError as error:
        _say(f"cannot tell how far the run is: {error}")
        return {"rows": None, "committed": None}
    committed = sum(shard.rows for shard in shards if shard.name in done)
    return {"rows": sum(shard.rows for shard in shards), "committed": committed}


def _ended(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _say(text: str) -> None:
    with suppress(OSError):  # that nobody reads it is no reason to leave the run alone
        print(f"nightly: {printable(text)}", file=sys.stderr, flush=True)


def deadline_from(text: str, now: datetime) -> float:
    """`06:30` (the next one, local time) or a duration, in seconds since 1970. Raises ValueError."""
    if clock := _CLOCK_TIME.fullmatch(text):
        at = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return (at if at > now else at + timedelta(days=1)).timestamp()
    return now.timestamp() + seconds_from(text)


def seconds_from(text: str) -> float:
    """`8h`, `1h30m`, `45s`, in seconds. Raises ValueError."""
    if not text or not (parts := _DURATION.fullmatch(text)):
        raise ValueError(f"{text!r} is not a duration such as 8h, 1h30m or 45s")
    hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    return float(3600 * hours + 60 * minutes + seconds)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Raises SystemExit 2 with the usage."""

    def deadline(text: str) -> float:
        try:
            return deadline_from(text, datetime.now())
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}: write 06:30 (local time) or 8h") from None

    def count(text: str) -> int:
        if (number := int(text)) < 1:
            raise ValueError
        return number

    parser = job_parser("nightly", __doc__)
    parser.add_argument("manifest", metavar="MANIFEST", help="CSV, JSONL, Parquet or meta.lst; a path or URI")
    parser.add_argument(
        "out", metavar="OUT", help="run folder: a path or URI; reuse the same folder to resume"
    )
    parser.add_argument("--config", metavar="JOB.toml", help="job file; see `voicemill settings`")
    parser.add_argument(
        *("--set", "-s"),
        action="append",
        metavar="SECTION.KEY=VALUE",
        dest="assignments",
        help="one setting; may be repeated",
    )
    parser.add_argument("--attempts", type=count, default=5, help="maximum number of attempts")
    parser.add_argument("--deadline", type=deadline, help="06:30, or 8h from now")
    parser.add_argument("--wait", type=seconds_from, default="10s", help="before the second attempt; doubles")
    parser.add_argument("--grace", type=seconds_from, default="60s", help="time to stop before it is killed")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    options = arguments(given)
    command = [sys.executable, "-m", "pipeline.cli", "run", options.manifest, "--out", options.out]
    command += ["--config", options.config] if options.config else []
    command += [word for assignment in options.assignments or [] for word in ("--set", assignment)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="voicemill-") as folder:
        summary = Path(folder) / "summary.json"
        command += ["--summary", str(summary)]
        night = supervise(
            command, summary, options.attempts, options.deadline or math.inf, options.wait, options.grace
        )
    line = {
        "out": options.out,
        "whole": night.ended_by == "done",
        "exit_code": night.exit_code,
        "ended_by": night.ended_by,
        "attempts": night.codes,
        "seconds": round(time.monotonic() - began, 1),
        **_how_far(options.out),
        **{name: night.summary.get(name) for name in ("ok", "failed", "rejected")},
    }
    print(json.dumps(line), flush=True)
    return night.exit_code


if __name__ == "__main__":
    sys.exit(reported(main))
