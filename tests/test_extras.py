"""What is said where an extra is missing; its packages are those of pyproject.toml."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.extras import STUDIO

ROOT = Path(__file__).parents[1]
COMMANDS = (
    ["narrate", "book.txt", "--ref", "a.flac", "--out", "out"],
    ["redo", "out", "--missing"],
    ["dub", "film.srt", "--voices", "voices.toml", "--length", "3", "--out", "out"],
    ["synthesize", "lines.txt", "--voices", "voices.csv", "--plan", "plan.toml", "--out", "out"],
)


def test_its_packages_are_those_of_the_project_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[<>=]", line)[0] for line in project["optional-dependencies"]["studio"]}
    distributions = packages_distributions()
    assert {distributions[module][0].lower().replace("_", "-") for module in STUDIO} == wanted


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_without_studio_a_command_ends_in_one_line(
    arguments: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "pysubs2", None)
    monkeypatch.setattr(sys, "argv", ["voicemill", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capfd.readouterr().err
    assert end.value.code == 2
    assert said == (
        f"voicemill: {arguments[0]} needs the extra studio, and pysubs2 cannot be imported: "
        "pip install 'voicemill[studio]'\n"
    )
    assert list(tmp_path.iterdir()) == []
