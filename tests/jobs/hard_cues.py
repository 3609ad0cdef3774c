"""Cues that fit their slots in every way there is, how long their speech is, and what to measure on the track."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pysubs2
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1] / "dubbing"))
from made_dubs import LEAD_S, TAIL_S


def hard_cues() -> list[tuple[float, float, str, str]]:
    """(start, end, tagged text, kind): back to back, overlapping, coinciding, of one frame, silent, in a gap."""
    rng = random.Random(7)
    at, made = 0.5, []
    kinds = ["roomy", "tight", "back to back", "overlapping", "coinciding", "one frame", "silent", "gap"]
    for number in range(200):
        kind = kinds[number % len(kinds)]
        length = {"roomy": 3.0, "tight": 1.0, "one frame": 0.04}.get(kind, rng.uniform(0.6, 2.0))
        start = at - 0.5 if kind == "overlapping" else at
        if kind == "coinciding":
            start = made[-1][0]
        text = "♪ ♪" if kind == "silent" else f"Line number {number}."
        tag = ["[ANNA] ", "BEN & SÖHNE: ", ""][number % 3]
        made.append((round(start, 3), round(start + length, 3), tag + text, kind))
        at = round(max(at, start + length) + (1.5 if kind in ("gap", "one frame") else 0.0), 3)
    return made


def write_srt(path: Path, cues) -> Path:
    file = pysubs2.SSAFile()
    for start, end, text, *_ in cues:
        file.append(pysubs2.SSAEvent(round(start * 1000), round(end * 1000), text))
    path.write_text(file.to_string("srt"), encoding="utf-8")
    return path


def speech_of(row):
    """Seconds from the text, so that every way to fit or not to fit comes up; takes differ by a tenth."""
    rng = random.Random(row["target_text"])
    seconds = rng.choice([0.3, 0.7, 1.05, 1.1, 1.5, 2.2, 3.2])
    seconds *= random.Random(row["utterance_id"]).uniform(0.95, 1.05)
    limit = row["max_duration_s"]
    if limit is not None and seconds + LEAD_S + TAIL_S > limit:
        return max(limit - LEAD_S - TAIL_S, 0.01), {
            "finish_reason": "length",
            "gate": "warned",
            "gate_reasons": ["finish_reason: length"],
        }
    return seconds, {}


def samples_of(path: Path, rate: int) -> np.ndarray:
    samples, found = soundfile.read(path, dtype="int16")
    assert found == rate
    return samples


def pitch(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 4 * len(samples)))
    return float(np.argmax(spectrum)) * rate / (4 * len(samples))
