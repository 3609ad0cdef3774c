"""SECURITY.md names tests that exist, and what it says of other people's code holds in the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")])


def test_every_promise_names_tests_that_exist() -> None:
    named = set(re.findall(r"`(tests/[\w/.]+)`", (ROOT / "SECURITY.md").read_text()))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def calls(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Dotted names of what is called, and the keywords it is given."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg or "**" for k in node.keywords}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_pickle_and_no_code_of_a_checkpoint(path: Path) -> None:
    text = path.read_text()
    assert "trust_remote_code" not in text
    assert "RAY_DATA_AUTOLOAD" not in text
    for name, keywords in calls(path):
        if name == "torch.load":
            assert "weights_only" in keywords
        assert name not in {
            "pickle.load",
            "pickle.loads",
            "yaml.load",
            "eval",
            "exec",
            "os.system",
            "joblib.load",
        }
        assert not (name.endswith("np.load") and "allow_pickle" in keywords)
        assert "shell" not in keywords
