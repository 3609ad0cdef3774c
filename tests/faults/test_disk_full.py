"""A disk that fills up under a run."""

from __future__ import annotations

import os
import subprocess

import pytest
from invariants import check_broken_off, check_finished, check_idle

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.case(
    fault="the disk is full after the plan, then has room again",
    expect="one line that names the file and the disk, exit 3; a rerun finishes",
    holds="I1-I7",
)
def test_disk_full(drivers, manifest, undisturbed, small_disk):
    out = small_disk / "run"
    ballast = small_disk / "ballast"
    first = drivers.run(manifest, str(out), moment=(5, "after", "kill"))
    check_broken_off(str(out), first)
    with ballast.open("wb") as file:
        disk = os.statvfs(small_disk)
        file.write(bytes(disk.f_bavail * disk.f_frsize - 24 * 1024))
    ended = drivers.run(manifest, str(out))
    assert ended.code == 3, ended.said[-1000:]
    assert "No space left on device; make room there" in ended.said
    assert str(out) in ended.said
    check_broken_off(str(out), ended)
    ballast.unlink()
    ended = drivers.run(manifest, str(out))
    check_finished(str(out), ended, codes=undisturbed)
    check_idle(str(out), lambda: drivers.run(manifest, str(out)))
