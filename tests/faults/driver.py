"""Drivers that are told when to die: `python driver.py` forks one per request, from a warm process.

Requests and answers are JSON lines: {"start": {...}} -> {"pid": 1}, {"wait": 1} -> {"status": -9}.
A driver's own faults are moments in the order of its writes to the store; everything else is the product's.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import torch

torch.set_num_threads(1)
sys.path.insert(0, str(Path(__file__).parents[1]))

from in_process import without_ray  # noqa: E402
from rich.console import Console  # noqa: E402
from small_run import SETTINGS, write_manifest  # noqa: E402

from jobs.clone_voices import clone_voices  # noqa: E402
from pipeline import lease, storage  # noqa: E402
from pipeline.config import load_config  # noqa: E402
from pipeline.reported import reported  # noqa: E402

WRITES = ("put", "create", "delete")


def main() -> None:
    without_ray()
    warm_up()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            answer = {"status": os.waitstatus_to_exitcode(status)}
        else:
            pid = os.fork()
            if pid == 0:
                os._exit(drive(**request["start"]))
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


def warm_up():
    """A run in this process: what is imported and loaded here need not be in every driver."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_config(None, [*SETTINGS, f"resources.prompt_cache={folder}/voices"])
        clone_voices(
            write_manifest(Path(folder) / "manifest.csv"), f"{folder}/run", settings, Console(stderr=True)
        )


def drive(
    manifest,
    out,
    settings,
    log,
    take_over=False,
    moment=None,
    heartbeat_s=None,
    lease_off=False,
    env=None,
    read_timeout_s=None,
):
    """Clones voices as the command line does; `moment` is (n, when, what) for its n-th write."""
    opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    os.environ.update(env or {})
    if moment is not None:
        count_writes(*moment)
    if read_timeout_s is not None:
        storage._READ_TIMEOUT_S = read_timeout_s
    if heartbeat_s is not None:
        lease._HEARTBEAT_S = heartbeat_s
    if lease_off:  # what protects a run when nobody heeds the lease
        lease.Lease._acquire = lambda self: None
        lease.Lease._beat_until_ended = lambda self: None
    summary = None

    def work():
        nonlocal summary
        console = Console(file=sys.stdout, width=200)
        summary = clone_voices(manifest, out, load_config(None, settings), console, take_over=take_over)
        return 1 if summary["failed"] or summary["rejected"] else 0

    return reported(work)


def count_writes(n, when, what):
    """At the n-th write `what` (kill, stop, term) comes `before` it, `after` it or `half` way through it."""
    number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}[what]
    seen = [0]

    def counted(write):
        def act(self, key, *data):
            seen[0] += 1
            now = seen[0] == n
            if now and when == "before":
                os.kill(os.getpid(), number)
            if now and when == "half" and data and (path := self.local_path(key)) is not None:
                with storage.temporary_file(path, data[0][: len(data[0]) // 2]):
                    os.kill(os.getpid(), number)
            done = write(self, key, *data)
            if now and when == "after":
                os.kill(os.getpid(), number)
            return done

        return act

    for store in (storage.LocalStore, storage.S3Store):
        for name in WRITES:
            setattr(store, name, counted(getattr(store, name)))


if __name__ == "__main__":
    main()
