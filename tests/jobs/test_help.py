"""`python -m jobs.NAME --help` says what each job takes: for all of them from the source, for some in earnest."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOBS = sorted(path for path in (ROOT / "jobs").glob("*.py") if '__name__ == "__main__"' in path.read_text())


def calls(path: Path, name: str) -> list[ast.Call]:
    nodes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return [node for node in nodes if ast.unparse(node.func).rpartition(".")[2] == name]


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_job_is_called_by_its_name_and_tells_every_argument(path: Path) -> None:
    if calls(path, "run_alone"):  # by typer, whose arguments are those of the command line
        return
    [parser] = calls(path, "job_parser") or calls(path, "ArgumentParser")
    if parser.args:
        assert ast.unparse(parser) == f"job_parser('{path.stem}', __doc__)"
        told = [
            call for call in calls(path, "add_argument") if not any(k.arg == "help" for k in call.keywords)
        ]
        assert [ast.unparse(call) for call in told] == []


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (
            "demo",
            ["usage: python -m jobs.demo [-h] [section.key=value ...]", "show this help message and exit\n"],
        ),
        ("benchmark", ["usage: python -m jobs.benchmark [-h] [checkpoint] [revision]"]),
        (
            "train_model",
            ["SAMPLES has train/ and valid/", "(default: 100000)", "rank; 0: all weights (default: 0)"],
        ),
        ("clone_voices", ["Usage: python -m jobs.clone_voices", "--config", "--strict", "--take-over"]),
    ],
)
def test_help(job: str, says: list[str]) -> None:
    asked = [sys.executable, "-m", f"jobs.{job}", "--help"]
    wide = os.environ | {"COLUMNS": "200"}
    done = subprocess.run(asked, cwd=ROOT, env=wide, capture_output=True, text=True, check=True)
    assert [each for each in says if each not in done.stdout] == []
    assert not done.stderr
