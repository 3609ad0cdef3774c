"""README.md and its neighbours name what there is: modules, commands, jobs, settings, make's targets, files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.cli import app
from pipeline.config import RunConfig

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / name
    for name in ("README.md", "SECURITY.md", "infra/README.md", "jobs/README.md", "manifests/README.md")
]
README = (ROOT / "README.md").read_text()
MAP = README.partition("## The code")[2].partition("```\n\n")[0]


def test_the_code_map_is_complete() -> None:
    here = {path.name for path in (ROOT / "pipeline").glob("*.py")} - {"__init__.py"}
    here |= {f"{path.parent.name}/" for path in (ROOT / "pipeline").glob("*/*.py")}
    told = re.findall(r"[a-z_]+(?:\.py|/)", MAP)
    assert here - set(told) == set()
    assert {name for name in told if name.endswith(".py")} - here == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    commands = {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }
    assert set(re.findall(r"`voicemill ([a-z]+)", text)) <= commands
    jobs = {path.stem for path in (ROOT / "jobs").glob("*.py")}
    assert set(re.findall(r"\bjobs\.([a-z_]+)", text)) <= jobs
    settings = {f"{section}.{name}" for section, values in RunConfig().to_dict().items() for name in values}
    sections = "|".join(RunConfig().to_dict())
    named = set(re.findall(rf"\b((?:{sections})\.[a-z_]+)", text))
    assert {name for name in named if not name.endswith((".py", ".json", ".toml"))} - settings == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


def test_the_table_of_jobs_is_complete() -> None:
    jobs = {
        path.stem for path in (ROOT / "jobs").glob("*.py") if '__name__ == "__main__"' in path.read_text()
    }
    rows = [
        line
        for line in (ROOT / "jobs" / "README.md").read_text().splitlines()
        if line.startswith("| `python")
    ]
    assert {name for row in rows for name in re.findall(r"`python -m jobs\.(\w+)`", row)} == jobs
