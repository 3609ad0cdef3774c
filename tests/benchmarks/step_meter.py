"""What each step of a driver costs: see simulate_scale.py."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path


class Meter:
    """CPU, memory and requests, each charged to the innermost step."""

    def __init__(self):
        self.cpu, self.peak, self.requests = Counter(), Counter(), Counter()
        self._start_kib, self._at, self._since = _memory_kib("VmRSS"), "start", time.process_time()

    @contextmanager
    def step(self, name):
        before = self._switch(name)
        try:
            yield
        finally:
            self._switch(before)

    def count(self, operation, parameters):
        # the key of an object, or what a listing asks for; the first folder below the run's
        path = (parameters.get("Key") or parameters.get("Prefix") or "").partition("run/")[2]
        self.requests[self._at, f"{operation} {path.partition('/')[0] or '-'}"] += 1

    def _switch(self, name):
        now, before = time.process_time(), self._at
        self.cpu[before] += now - self._since
        self.peak[before] = max(self.peak[before], _memory_kib("VmHWM") - self._start_kib)
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        self._at, self._since = name, now
        return before

    def report(self, driver, rows, done, of_workers):
        for step in self.cpu:
            of = done if step in of_workers else rows
            if not of or step == "start":
                continue
            asked = {name: n for (at, name), n in self.requests.items() if at == step}
            line = {
                "driver": driver,
                "step": step,
                "rows": of,
                "cpu_s": round(self.cpu[step], 2),
                "us": round(1e6 * self.cpu[step] / of, 1),
                "peak_mib": round(self.peak[step] / 1024, 1),
            }
            if asked:
                line["requests"] = {name: round(1000 * n / of, 1) for name, n in sorted(asked.items())}
            print(json.dumps(line), flush=True)


def _memory_kib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
