"""A teacher for machines without flite."""

from __future__ import annotations

import os
import sys

import pytest

# Says a pure tone at the pitch it is asked for: a pause of 0.3 s, "aa" for 1 s, a pause of 0.3 s, all of
# it stretched as asked.
FAKE_FLITE = f"""#!{sys.executable}
import sys, wave, array, math
words = sys.argv[1:]
settings = dict(w.split("=") for w in words if "=" in w)
stretch, pitch = float(settings["duration_stretch"]), float(settings["int_f0_target_mean"])
ends = [0.3 * stretch, 1.3 * stretch, 1.6 * stretch]
print(" ".join(f"{{p}}:{{e:.3f}}" for p, e in zip(("pau", "aa", "pau"), ends)), end=" ")
samples = array.array("h", (
    int(8000 * math.sin(2 * math.pi * pitch * i / 16000)) if ends[0] <= i / 16000 < ends[1] else 0
    for i in range(int(16000 * ends[2]))
))
with wave.open(words[words.index("-o") + 1], "wb") as file:
    file.setparams((1, 2, 16000, 0, "NONE", ""))
    file.writeframes(samples.tobytes())
"""


@pytest.fixture
def fake_flite(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "flite"
    program.write_text(FAKE_FLITE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
