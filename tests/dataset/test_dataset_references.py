"""No recording is two speakers', under whatever name it lies there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from made_sets import speech

from pipeline.config import RunConfig
from pipeline.dataset.inputs import Voice
from pipeline.dataset.references import check_references
from pipeline.errors import ManifestError


@pytest.fixture
def anna(tmp_path: Path) -> Voice:
    (tmp_path / "Anna.flac").write_bytes(speech(50, 1))
    return Voice("Anna", str(tmp_path / "Anna.flac"))


def copy_of(voice: Voice, name: str, speaker: str) -> Voice:
    """The same bytes under another name."""
    return Voice(speaker, str(shutil.copy(voice.ref, Path(voice.ref).with_name(name))))


def test_a_copy_of_a_recording_is_no_second_speaker(anna: Voice, tmp_path: Path) -> None:
    ben = copy_of(anna, "ben.flac", "Ben")
    with pytest.raises(ManifestError) as caught:
        check_references([anna, ben], "voices.csv", RunConfig())
    assert str(caught.value) == (
        f"voices.csv: {tmp_path}/ben.flac is said to be of 'Ben', and is of 'Anna' already, as "
        f"{tmp_path}/Anna.flac; fix the table of voices"
    )


def test_it_may_lie_there_twice_for_one_speaker(anna: Voice, tmp_path: Path) -> None:
    (tmp_path / "ben.flac").write_bytes(speech(50, 2))
    again, ben = copy_of(anna, "anna-again.flac", "Anna"), Voice("Ben", str(tmp_path / "ben.flac"))
    check_references([anna, again, ben], "voices.csv", RunConfig())
