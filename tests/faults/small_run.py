"""A run that is as small as one can be and has all its parts, and drivers for it in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
VOICES = ROOT / "manifests" / "voices"
ROWS = 7
IDS = [f"u{i}" for i in range(ROWS)]
SETTINGS = [
    "model.checkpoint=standin",
    *("output.shard_rows=2", "resources.num_cpus=2", "model.max_positions=512"),
    *("evaluation.transcriber=none", "evaluation.speaker_encoder=none"),
]
SECRETS = ("test-secret", "hidden-session-token")
PATIENCE_S = 240  # of a test with a driver: the machine may be busy


def write_manifest(path, ids=IDS, encoding="utf-8"):
    """A row whose reference is missing, then a good one per id: two voices in turn, 0.4 s at most."""
    lines = ["id,ref,ref_text,text,max_duration_s"]
    lines.append(f"broken,{path.parent / 'nowhere.flac'},A voice.,Never said.,0.4")
    for i, name in enumerate(ids):
        lines.append(f"{name},{VOICES / ('slt-1.flac', 'rms-1.flac')[i % 2]},A voice.,Sentence {name}.,0.4")
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return str(path)


@dataclass
class Ended:
    code: int
    said: str
    seconds: float


class Drivers:
    """Starts drivers in forks of one warm process (driver.py), and waits for them."""

    def __init__(self, folder):
        self._folder, self._logs, self._begun = folder, {}, {}
        self.voices = folder / "voices"  # encoded once for all their runs
        env = os.environ | {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}",
            "OMP_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "driver.py")],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "forker.log").open("w"),
            text=True,
        )
        assert self._answer() == {"ready": True}

    def start(self, manifest, out, **more):
        log = self._folder / f"driver-{len(self._logs)}.log"
        settings = [*SETTINGS, f"resources.prompt_cache={self.voices}", *more.pop("settings", ())]
        request = {"manifest": str(manifest), "out": str(out), "settings": settings, "log": str(log), **more}
        pid = self._ask(start=request)["pid"]
        self._logs[pid], self._begun[pid] = log, time.monotonic()
        return pid

    def wait(self, pid):
        code = self._ask(wait=pid)["status"]
        return Ended(code, self._logs[pid].read_text(), time.monotonic() - self._begun[pid])

    def run(self, manifest, out, **more):
        return self.wait(self.start(manifest, out, **more))

    def said(self, pid):
        return self._logs[pid].read_text()

    def close(self):
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)

    def _ask(self, **request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        assert line, (self._folder / "forker.log").read_text()[-3000:]
        return json.loads(line)


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def is_stopped(pid):
    """Whether SIGSTOP has taken effect."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def go_on(pid):
    os.kill(pid, signal.SIGCONT)
