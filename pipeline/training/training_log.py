"""The log of a training run: one JSON object a line.

Lines have `step`; those of the loop have the means since the line before, those of an evaluation keys
that begin with `valid_`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LogLine = dict[str, Any]


class TrainingLog:
    """Appends lines; `resume_at` drops those of steps that a killed run did after its last checkpoint."""

    def __init__(self, path: Path, *, resume_at: int = 0) -> None:
        self.path = path
        kept = [line for line in read_log(path) if line["step"] <= resume_at]
        aside = path.with_suffix(".aside")
        aside.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")
        os.replace(aside, path)

    def write(self, line: Mapping[str, Any]) -> None:
        rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in line.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded) + "\n")


def read_log(path: Path) -> list[LogLine]:
    """Lines in order of writing; a last line cut short by a crash is left out."""
    lines: list[LogLine] = []
    if path.is_file():
        for text in path.read_text("utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
    return lines
