from __future__ import annotations

import pytest
from dub_here import VOICES
from made_dubs import PITCHES, voice_file


@pytest.fixture
def place(tmp_path):
    """Voices, and an original of 333 333 samples a channel."""
    (tmp_path / "voices").mkdir()
    voice_file(tmp_path / "voices/anna.wav", PITCHES["anna"])
    voice_file(tmp_path / "voices/ben.wav", PITCHES["Ben & Söhne"])
    (tmp_path / "voices.toml").write_text(VOICES, encoding="utf-8")
    return tmp_path
