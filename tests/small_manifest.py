"""The manifest of runs that only have to be runs: one voice, short lines."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

VOICES = Path(__file__).parents[1] / "manifests" / "voices"


def small_manifest(folder: Path, rows: int, more: Sequence[Sequence[str]] = ()) -> Path:
    """`m.csv` with rows u0, u1, ... of 0.4 s at most, and those of `more` after them."""
    path = folder / "m.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "ref", "ref_text", "text", "max_duration_s"])
        for i in range(rows):
            writer.writerow([f"u{i}", VOICES / "slt-1.flac", "The ferry leaves.", f"Line {i}.", "0.4"])
        writer.writerows(more)
    return path
