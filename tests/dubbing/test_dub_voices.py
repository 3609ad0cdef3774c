"""By hand."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dubbing.voices import Voice, read_voices, refuse_unvoiced, seconds_of, voice_of
from pipeline.errors import ConfigError
from pipeline.programme.subtitles import Cue

TOML = b"""\
["Anna Maria"]
ref = "voices/anna.flac"
ref_text = "The ferry leaves."
consent_id = "2026-017"

[BEN]
from = "0:01:12.5"
to = 79

[default]
ref = "s3://voices/narrator.wav"
"""


def test_a_table_per_speaker():
    voices = read_voices(TOML, "voices.toml")
    anna = Voice("Anna Maria", "voices/anna.flac", "The ferry leaves.", "2026-017")
    assert voice_of(Cue(0, 1, "Hi", "ANNA  MARIA"), voices) == anna
    assert voice_of(Cue(0, 1, "Hi", "Ben"), voices) == Voice("BEN", start_s=72.5, end_s=79.0)
    assert voice_of(Cue(0, 1, "Hi"), voices) == Voice("default", "s3://voices/narrator.wav")
    assert voice_of(Cue(0, 1, "Hi", "Carl"), voices) is None
    cues = [Cue(0, 1, "Hi", "Carl"), Cue(1, 2, "Hi", "Carl"), Cue(2, 3, "Hi", "Dora"), Cue(3, 4, "Hi", "ben")]
    with pytest.raises(ConfigError, match=re.escape("no voice for [Carl] (cues: 2), [Dora] (cues: 1)")):
        refuse_unvoiced(cues, voices, "voices.toml")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        (b"", "no voice in it"),
        (b"\xff", "not TOML"),
        (b"[A\n", "not TOML"),
        (b"A = 1", "[A] is no table"),
        (b"[A]\nrif = 'a.wav'", "[A] rif: not known; known are ref"),
        (b"[A]\nref = 1", "[A] ref = 1: write text"),
        (b"[A]\nconsent_id = 7", "[A] consent_id = 7: write text"),
        (b"[A]\nref_text = 'x'", "[A]: give ref, or from and to"),
        (b"[A]\nfrom = 1", "[A]: give ref, or from and to"),
        (b"[A]\nref = 'a.wav'\nfrom = 1\nto = 2", "[A]: give ref, or from and to"),
        (b"[A]\nfrom = 2\nto = 2", "from 2 to 2 s is no stretch"),
        (b"[A]\nfrom = -1\nto = 2", "[A] from = -1"),
        (b"[A]\nfrom = nan\nto = 2", "[A] from = nan"),
        (b"[A]\nfrom = true\nto = 2", "[A] from = True"),
        (b"[A]\nfrom = 'soon'\nto = 2", "[A] from = 'soon'"),
        (b"[ANNA]\nref = 'a'\n[Anna]\nref = 'b'", "[Anna] stands there twice"),
    ],
)
def test_what_is_wrong_is_named(toml, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_voices(toml, "voices.toml")


@given(st.integers(0, 20), st.integers(0, 59), st.integers(0, 59_999), st.sampled_from(".,"))
def test_clock_times(hours, minutes, milliseconds, point):
    text = f"{hours}:{minutes:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"
    assert seconds_of(text) == pytest.approx(3600 * hours + 60 * minutes + milliseconds / 1000)


@pytest.mark.parametrize("text", ["", "1:2:3:4", "-1", "1e3", "1:-2", "nan", "1."])
def test_no_times(text):
    with pytest.raises(ValueError, match="no time"):
        seconds_of(text)
