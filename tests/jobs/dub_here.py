"""Dubs through the whole job; only the model is stood in for, by tones."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console

import jobs.dubbing
from pipeline.config import load_config
from pipeline.dubbing.project import DubOptions

sys.path.insert(0, str(Path(__file__).parents[1] / "dubbing"))
from made_dubs import PITCHES, Speaker

CONSOLE = Console(file=io.StringIO())
VOICES = """\
[anna]
ref = "voices/anna.wav"
ref_text = "The ferry leaves."
["Ben & Söhne"]
ref = "voices/ben.wav"
[default]
from = "0:00:02"
to = 4
"""


def write_original(path: Path, samples: int, rate: int = 44_100) -> Path:
    at = np.arange(samples) / rate
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * PITCHES[None] * at), rate, subtype="PCM_16")
    return path


def dub(monkeypatch, speaker: Speaker, place: Path, **options) -> dict:
    monkeypatch.setattr(jobs.dubbing, "clone_voices", speaker)
    given = {"subtitles": str(place / "film.srt"), "voices": str(place / "voices.toml")} | options
    return jobs.dubbing.dub(str(place / "dub"), DubOptions(**given), load_config(None, []), CONSOLE)
