"""What a dub refuses before anything is spoken."""

from __future__ import annotations

import re

import numpy as np
import pytest
import soundfile
from dub_here import CONSOLE, dub, write_original
from hard_cues import write_srt
from made_dubs import Speaker

import jobs.dubbing
from pipeline.config import load_config
from pipeline.dubbing.project import DubOptions
from pipeline.errors import ConfigError, RunConflictError


def test_restricted_references(place, monkeypatch):
    write_srt(place / "film.srt", [(0.0, 2.0, "ANNA: First.", "")])
    (place / "voices.toml").write_text('[anna]\nref = "voices/anna.wav"\n')
    monkeypatch.setattr(jobs.dubbing, "clone_voices", Speaker(lambda row: (1.0, {})))
    options = DubOptions(str(place / "film.srt"), str(place / "voices.toml"), length_s=3.0)
    config = load_config(None, [f"check.allowed_prefixes={place}/voices/"])
    # the rows are checked for real, and name the copy
    report = jobs.dubbing.dub(str(place / "dub"), options, config, CONSOLE)
    assert report["counts"]["fits"] == 1
    other = load_config(None, [f"check.allowed_prefixes={place}/elsewhere/"])
    with pytest.raises(ConfigError, match=r"\[anna\]: .*outside check\.allowed_prefixes"):
        jobs.dubbing.dub(str(place / "dub2"), options, other, CONSOLE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give the original"),
        ({"length_s": 5.0, "original": "a.wav"}, "the track is as long as the original; leave one out"),
        ({"length_s": 5.0, "stretch": 0.9}, "--stretch 0.9: give 1 to 2"),
        ({"length_s": 5.0, "takes": 0}, "--takes 0: give 1 to 100"),
        ({"length_s": float("nan")}, "--length nan"),
        ({"length_s": 5.0, "video": True}, "--video needs the picture"),
        ({"length_s": 5.0, "sample_rate": 44_101}, "no usual sample rate"),
        ({"length_s": 5.0}, "[default]: from and to are of the original"),
        ({"length_s": 5.0, "columns": ("text=Line",)}, "--column is for a cue sheet"),
        ({"length_s": 5.0, "duck_db": 6.0}, "--duck-db is how far a bed is lowered: name one with --bed"),
        ({"length_s": 5.0, "bed": "nowhere.wav"}, "nowhere.wav: FileNotFoundError"),
        ({"length_s": 5.0, "bed": __file__}, "not readable as audio or video"),
        ({"original": "nowhere.wav"}, "nowhere.wav: FileNotFoundError"),
        ({"length_s": 5.0, "subtitles": "nowhere.srt"}, "nowhere.srt: FileNotFoundError"),
    ],
)
def test_what_is_refused_before_anything_is_spent(place, monkeypatch, options, said):
    write_srt(place / "film.srt", [(0.0, 1.0, "Hi.", "")])
    speaker = Speaker(lambda row: (0.5, {}))
    with pytest.raises(ConfigError, match=said.replace("[", r"\[")):
        dub(monkeypatch, speaker, place, **options)
    assert speaker.spoken == []


def test_subtitles_of_something_longer_are_refused_before_anything_is_spoken(place, monkeypatch):
    cues = [(0.0, 1.0, "ANNA: In.", ""), (2.0, 3.0, "ANNA: At the end.", ""), (7.0, 8.0, "ANNA: Beyond.", "")]
    write_srt(place / "film.srt", cues)
    write_original(place / "film.wav", 2 * 44_100)
    (place / "voices.toml").write_text('[anna]\nref = "voices/anna.wav"\n')
    speaker = Speaker(lambda row: (0.5, {}))
    said = r"ends at 2\.000 s, and cues that begin there or later: 2, the first is cue 2 at 2\.000 s"
    for track in ({"length_s": 2.0}, {"original": str(place / "film.wav")}):
        with pytest.raises(ConfigError, match=said):
            dub(monkeypatch, speaker, place, **track)
    assert speaker.spoken == []
    assert dub(monkeypatch, speaker, place, length_s=7.8)["counts"]["fits"] == 3


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('from = "0:00:03"\nto = 5', "[BEN]: from 3 to 5 s of the original: audio_silent: no speech"),
        ("from = 1\nto = 1.5", "[BEN]: from 1 to 1.5 s of the original: audio_too_short: 0.50 s"),
        ('ref = "voices/loud.wav"', "[BEN]: voices/loud.wav: audio_clipped: "),
        ('ref = "voices.toml"', "[BEN]: voices.toml: audio_unreadable: "),
    ],
)
def test_a_reference_that_no_row_could_use_is_refused_at_once(place, monkeypatch, table, said):
    write_srt(place / "film.srt", [(0.0, 1.0, "ANNA: Hi.", ""), (1.0, 2.0, "BEN: Ho.", "")])
    tone = 0.2 * np.sin(2 * np.pi * 300 * np.arange(6 * 8_000) / 8_000)
    tone[3 * 8_000 :] = 0  # the original is silent from 3 s on
    soundfile.write(place / "film.wav", tone, 8_000)
    soundfile.write(place / "voices/loud.wav", np.sign(tone[:16_000]), 8_000, subtype="PCM_16")
    (place / "voices.toml").write_text(f'[anna]\nref = "voices/anna.wav"\n[BEN]\n{table}\n')
    speaker = Speaker(lambda row: (0.5, {}))
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        dub(monkeypatch, speaker, place, original=str(place / "film.wav"))
    assert "\n" not in str(caught.value)
    assert speaker.spoken == []


def test_folders_of_others_and_voices_that_are_not_there(place, monkeypatch):
    write_srt(place / "film.srt", [(0.0, 1.0, "ANNA: Hi.", ""), (1.0, 2.0, "CARL: Ho.", "")])
    speaker = Speaker(lambda row: (0.5, {}))
    (place / "voices.toml").write_text('[anna]\nref = "voices/nobody.wav"\n')
    with pytest.raises(ConfigError, match=r"no voice for \[CARL\] \(cues: 1\)"):
        dub(monkeypatch, speaker, place, length_s=5.0)
    (place / "voices.toml").write_text('[anna]\nref = "voices/nobody.wav"\n[carl]\nref = "voices/ben.wav"\n')
    with pytest.raises(ConfigError, match=r"\[anna\]: .*nobody\.wav: FileNotFoundError"):
        dub(monkeypatch, speaker, place, length_s=5.0)
    (place / "dub").mkdir(exist_ok=True)
    for path in (place / "dub").rglob("*.json"):
        path.unlink()
    (place / "dub/thesis.txt").write_text("mine")
    with pytest.raises(RunConflictError, match=r"holds thesis\.txt and no dub"):
        dub(monkeypatch, speaker, place, length_s=5.0)
    assert speaker.spoken == []
