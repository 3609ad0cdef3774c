"""Object stores for the fault suite, on this machine."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "infra" / "testing" / "ceph_rgw.sh"


@contextmanager
def ceph_rgw():
    """Ceph's object gateway, from Debian's packages; (endpoint, credentials). Skips where it cannot be had."""
    keys = {"AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "test-secret"}
    folder = os.environ.get("VOICEMILL_CEPH", str(ROOT / ".cache" / "ceph"))
    try:
        up = subprocess.run(
            ["bash", str(SCRIPT), "up", folder],
            env=os.environ | keys,
            capture_output=True,
            text=True,
            timeout=300,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("Ceph does not come up in 5 minutes")
    if up.returncode:
        pytest.skip(f"no Ceph here: {up.stderr.strip().splitlines()[-1:]}")
    try:
        yield up.stdout.strip().splitlines()[-1], keys
    finally:
        subprocess.run(["bash", str(SCRIPT), "down", folder], check=False)
