"""Whatever is imported first, Ray finds its settings: `uv run` sets the hook that would lose its workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAID = """
import sys, os
assert "ray" not in sys.modules
import {module}
assert "ray" in sys.modules
from ray._private.ray_constants import RAY_ENABLE_UV_RUN_RUNTIME_ENV as hook
print(hook, os.environ["RAY_AUTH_MODE"], "RAY_ADDRESS" in os.environ)
"""


@pytest.mark.parametrize(
    ("module", "address"),
    [
        ("pipeline.flow", {}),
        ("pipeline.actors", {}),
        ("jobs.pack_corpus", {}),
        ("pipeline.flow", {"RAY_ADDRESS": ""}),
    ],
)
def test_ray_is_imported_with_our_settings(module: str, address: dict[str, str]) -> None:
    """An empty address, as unit files have it, is none."""
    names = ("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "RAY_AUTH_MODE", "RAY_ADDRESS")
    env = {name: value for name, value in os.environ.items() if name not in names} | address
    code = SAID.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "token", "False"], done.stderr
