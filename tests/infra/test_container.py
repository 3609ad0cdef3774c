"""The image's file: pinned, without privileges, with nothing of anybody's registry; by hadolint where it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "container"
LINES = re.sub(r"\\\n", " ", (FOLDER / "Dockerfile").read_text()).splitlines()
STEPS = [line for line in LINES if line and not line.startswith("#")]


def of(keyword: str) -> list[str]:
    return [line.removeprefix(f"{keyword} ") for line in STEPS if line.startswith(f"{keyword} ")]


def test_the_base_and_the_installer_are_pinned() -> None:
    assert of("ARG") == ["PYTHON=python:3.11.14-slim-bookworm"]
    assert [base.split()[0] for base in of("FROM")] == ["${PYTHON}", "${PYTHON}"]
    assert re.search(r"pip install --no-cache-dir uv==\d+\.\d+\.\d+$", of("RUN")[0])


def test_it_runs_as_nobody_special_and_holds_no_secret() -> None:
    assert of("USER") == ["1000:1000"]
    text = (FOLDER / "Dockerfile").read_text()
    assert not re.search(r"(?i)password|secret_key|auth_token|--index-url|https?://", text)
    assert "RAY_AUTH_MODE=token" in of("ENV")[-1]


def test_its_extras_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [sync] = [step for step in of("RUN") if step.startswith("uv sync")]
    extras = set(re.findall(r"--extra (\w+)", sync))
    assert extras <= project["project"]["optional-dependencies"].keys()
    # whatever a night's job may name: evaluators, codec, judge, books and films
    assert extras == {"dac", "demo", "judge", "quality", "studio"}


def test_what_ray_default_adds_is_pinned_once() -> None:
    lines = (FOLDER / "requirements-cluster.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert len(pins) == len([line for line in lines if "==" in line and not line.startswith("#")])
    # what `ray[default]` of the tested Ray asks for is there or among the project's own pins
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ours = dict(line.split("==") for line in project["tool"]["uv"]["constraint-dependencies"])
    assert {name: pins[name] for name in ours.keys() & pins.keys()}.items() <= ours.items()
    from importlib.metadata import requires

    wanted = {
        re.split(r"[^A-Za-z0-9_-]", line)[0].lower().replace("_", "-")
        for line in requires("ray") or ()
        if re.search(r"extra == ['\"]default['\"]", line) and "sys_platform == 'win32'" not in line
    }
    assert "opencensus" in wanted
    assert wanted <= ours.keys() | pins.keys()
    assert version("ray") == "2.60.0", "requirements-cluster.txt was written from ray[default]==2.60.0"


def test_the_context_is_what_is_copied() -> None:
    allowed = {
        line[1:]
        for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = [step.split()[:-1] for step in of("COPY") if not step.startswith("--from")]
    assert {name for names in copied for name in names} == allowed
    assert all((ROOT / name).exists() for name in allowed)


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="no hadolint")
def test_hadolint_has_nothing_to_say() -> None:
    said = subprocess.run(
        ["hadolint", str(FOLDER / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout
