"""The cron line and the systemd units: their commands are ones that `jobs.nightly` takes."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from jobs.nightly import arguments

FOLDER = Path(__file__).parents[2] / "infra" / "schedule"
UNITS = ("voicemill-nightly.service", "voicemill-nightly.timer")


def commands() -> dict[str, list[str]]:
    [line] = [line for line in (FOLDER / "crontab").read_text().splitlines() if line.startswith("0 22 ")]
    command, _, log = line.partition(">>")
    assert log.strip().endswith(".jsonl")
    service = configparser.ConfigParser(strict=False, interpolation=None)
    service.optionxform = str  # type: ignore[assignment, method-assign]
    service.read(FOLDER / UNITS[0])
    return {"cron": shlex.split(command)[5:], "systemd": shlex.split(service["Service"]["ExecStart"])}


@pytest.mark.parametrize("where", ["cron", "systemd"])
def test_the_command_is_one_of_ours(where: str) -> None:
    words = commands()[where]
    at = words.index("-m")
    assert words[at - 1].endswith("python")
    assert words[at + 1] == "jobs.nightly"
    options = arguments(words[at + 2 :])
    assert options.out == "/data/runs/narration"
    [assignment] = options.assignments
    assert assignment.startswith("resources.metrics_file=")
    assert assignment.endswith(".prom")


def test_systemd_waits_longer_than_the_supervisor() -> None:
    units = (FOLDER / UNITS[0]).read_text().splitlines()
    [stop] = [int(line.partition("=")[2]) for line in units if line.startswith("TimeoutStopSec=")]
    assert stop > arguments(["m", "o"]).grace
    # only the supervisor gets SIGTERM; what is left afterwards is killed
    assert "KillMode=mixed" in units
    assert "SuccessExitStatus=1" in units


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for name in UNITS:
        # it looks for the program, which is not installed here
        text = (FOLDER / name).read_text().replace("/opt/voicemill/bin/python", "/bin/true")
        (tmp_path / name).write_text(text)
    said = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, "")
